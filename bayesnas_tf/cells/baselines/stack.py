"""Recurrent layers one above the other, their states in one tensor."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from bayesnas_tf.cells.baselines.recurrent import LayerMasks, RecurrentLayer
from bayesnas_tf.cells.reading import PLAIN, Purpose
from bayesnas_tf.numerics import seeds
from bayesnas_tf.numerics.execution import GRAPH, Execution
from bayesnas_tf.numerics.sums import ordered_sum

MASK_SLOT = 6  # of the first layer; the language model and its highway cell have those before it


class StackReading(NamedTuple):
    """What `Stack.window` takes."""

    masks: tuple[LayerMasks, ...]
    execution: Execution


class Stack(keras.layers.Layer):
    """Layers over embeddings `[B, T, K]`; the output is the last layer's, or the sum of all (`skip`).

    The state `[B, S]` is h and c of the first layer, then of the next, side by side: whoever carries or
    stores it need not know what it is made of.
    """

    program = None  # it is no cell that stands alone
    couples_rows = False

    def __init__(self, input_size: int, layers: list[RecurrentLayer], skip: bool = False, **kwargs: Any):
        """`layers` from the bottom; their weights are created at once."""
        super().__init__(**kwargs)
        self.input_size, self.skip, self.layers = input_size, skip, layers
        self.output_size = layers[-1].units
        self.sizes = [layer.units for layer in layers for _ in range(2)]
        self.state_size = self.state_width = sum(self.sizes)
        widths = [input_size, *(layer.units for layer in layers[:-1])]
        for below, layer in zip(widths, layers, strict=True):
            layer.build((None, None, below))
            layer.built = True
        for number, layer in enumerate(layers):
            setattr(self, f"layer_{number}", layer)  # `tf.train.Checkpoint` sees no list of a layer
        self.built = True

    def over_time(self, dtype: keras.DTypePolicy) -> "Stack":
        """The layer that runs over windows: itself."""
        return self

    def read(
        self,
        drawn: tuple[LayerMasks, ...] | None = None,
        execution: Execution = GRAPH,
        purpose: Purpose = PLAIN,
    ) -> StackReading:
        """What a window is computed from besides the weights; its purpose makes no difference here."""
        del purpose
        return StackReading(drawn or (LayerMasks(),) * len(self.layers), execution)

    @property
    def kernel(self) -> keras.Variable:
        """The weights that embeddings meet."""
        return self.layers[0].kernel

    def kernels(self) -> dict[str, keras.Variable]:
        """None that a window could take in blocks."""
        return {}

    def ranges(self) -> list[tuple[keras.Variable, float]]:
        """Pairs of a weight and the half-width of the uniform distribution that it starts with."""
        return [pair for layer in self.layers for pair in layer.ranges()]

    def draw_masks(self, seed: tf.Tensor, batch: int) -> tuple[LayerMasks, ...]:
        """The masks of one window from a stateless seed (int32 `[2]`), one for each layer."""
        return tuple(
            layer.draw_masks(seeds.fold(seed, MASK_SLOT, number), batch)
            for number, layer in enumerate(self.layers)
        )

    def window(
        self, reading: StackReading, x: tf.Tensor, state: tf.Tensor, length: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Outputs `[B, T, U]` and the state after `length` steps, from x `[B, T, K]` and a state `[B, S]`."""
        parts = tf.split(state, self.sizes, axis=1)
        outputs: list[tf.Tensor] = []
        after: list[tf.Tensor] = []
        for number, layer in enumerate(self.layers):
            states, drawn = tuple(parts[2 * number : 2 * number + 2]), reading.masks[number]
            x, states = layer.window(x, states, length, drawn, reading.execution)
            outputs.append(x)
            after += states
        if self.skip:
            x = ordered_sum(outputs)
        return x, tf.concat(after, axis=1)
