"""The controller of ENAS (Pham et al. 2018): an LSTM that writes a cell, node by node."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.numerics import seeds
from bayesnas_tf.numerics.sums import ordered_sum
from bayesnas_tf.space.base import Space

INIT_RANGE = 0.1


class Draw(NamedTuple):
    """S cells and how likely the controller was to write them."""

    choices: tf.Tensor  # int32 [S, ...], of the shape of the space's slots
    log_prob: tf.Tensor  # [S]


class Controller(tf.Module):
    """Weights of the controller and its passes over a batch of S cells.

    An LSTM step reads what was last decided: at first a learned vector, then the operation of node 0, which
    is fixed. For each node j = 1..n a step makes its anchor, whose attention to the anchors of 0..j - 1 gives
    the logits of the source; the next step reads the source's anchor and gives those of the operation.
    Spaces with switches have a step for each (`Space.script`). Logits are divided by `temperature` and
    limited to ± `tanh_limit`.
    """

    def __init__(
        self, space: Space, units: int, temperature: float, tanh_limit: float, dtype: tf.DType = tf.float32
    ):
        """Weights are 0 until `initialise`."""
        super().__init__()
        self.space, self.units, self.temperature, self.tanh_limit = space, units, temperature, tanh_limit
        self.script = space.script
        self.dtype = dtype
        ops = next(count for kind, count in self.script if kind == "option")
        self.tanh = space.sites.options.index("tanh")  # what node 0 is

        def weight(*shape: int) -> tf.Variable:
            return tf.Variable(tf.zeros(shape, dtype))

        self.lstm = weight(2 * units, 4 * units)  # rows: input, state; columns: input, forget, output, new
        self.start = weight(1, units)
        self.embeddings = weight(ops, units)
        self.op_kernel = weight(units, ops)
        self.anchor_kernel, self.query_kernel, self.attention = (
            weight(*shape) for shape in ((units, units), (units, units), (units, 1))
        )
        self.switched = any(kind == "switch" for kind, _ in self.script)
        if self.switched:
            self.switch_kernel, self.switch_embeddings = weight(units, 2), weight(2, units)

    @property
    def weights(self) -> list[tf.Variable]:
        """All of them, in a fixed order."""
        own = (self.lstm, self.start, self.embeddings, self.op_kernel)
        of_switches = self._parts("switch") if self.switched else ()
        return [*own, self.anchor_kernel, self.query_kernel, self.attention, *of_switches]

    def _parts(self, kind: str) -> tuple[tf.Variable, tf.Variable]:
        """The kernel that gives the logits of a decision, and the embeddings of what was decided."""
        if kind == "switch":
            return self.switch_kernel, self.switch_embeddings
        return self.op_kernel, self.embeddings

    def initialise(self, seed: tf.Tensor) -> None:
        """Uniform in ±0.1 from a stateless seed (int32 `[2]`)."""
        for slot, weight in enumerate(self.weights):
            drawn = tf.random.stateless_uniform(
                weight.shape, seeds.fold(seed, slot), -INIT_RANGE, INIT_RANGE, self.dtype
            )
            weight.assign(drawn)

    def sample(self, seed: tf.Tensor, count: int) -> Draw:
        """`count` cells, each decision drawn from its distribution."""
        return self._write(count, lambda slot, logits: _drawn(logits, seeds.fold(seed, slot)))

    def log_prob(self, choices: tf.Tensor) -> tf.Tensor:
        """log π of given cells, int32 `[S, ...]`; differentiable in the weights."""
        flat = tf.reshape(choices, [choices.shape[0], -1])
        return self._write(choices.shape[0], lambda slot, logits: flat[:, slot]).log_prob

    def _write(self, count: int, decide: Callable[[int, tf.Tensor], tf.Tensor]) -> Draw:
        """One pass over S cells; `decide(slot, logits [S, C])` gives int32 `[S]`; slots are the script's.

        Drawing cells and scoring given ones differ in `decide` alone. log π is the sum over all decisions,
        in nats.
        """
        zeros = tf.zeros([count, self.units], self.dtype)
        state = self._step(tf.repeat(self.start, count, axis=0), (zeros, zeros))
        anchors = [state[0]]
        inputs = tf.repeat(self.embeddings[self.tanh : self.tanh + 1], count, axis=0)
        decisions, log_probs = [], []
        for slot, (kind, _) in enumerate(self.script):
            state = self._step(inputs, state)
            if kind == "source":
                logits = self._source_logits(state[0], anchors)
            else:
                logits = self._limited(state[0] @ self._parts(kind)[0])
            chosen = decide(slot, logits)
            decisions.append(chosen)
            log_probs.append(tf.gather(tf.nn.log_softmax(logits), chosen, batch_dims=1))
            if kind == "source":
                inputs = tf.gather(tf.stack(anchors, axis=1), chosen, batch_dims=1)
                anchors.append(state[0])
            else:
                inputs = tf.gather(self._parts(kind)[1], chosen)
        choices = tf.reshape(tf.stack(decisions, axis=1), [count, *self.space.slots.shape])
        return Draw(choices, ordered_sum(log_probs))

    def _step(self, inputs: tf.Tensor, state: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """(h, c) of the LSTM after inputs `[S, H]`."""
        h, c = state
        i, f, o, g = tf.split(tf.concat([inputs, h], axis=1) @ self.lstm, 4, axis=1)
        c = tf.sigmoid(i) * tf.tanh(g) + tf.sigmoid(f) * c
        return tf.sigmoid(o) * tf.tanh(c), c

    def _source_logits(self, h: tf.Tensor, anchors: Sequence[tf.Tensor]) -> tf.Tensor:
        """Attention of h to the anchors, `[S, j]`."""
        keys = tf.stack([anchor @ self.anchor_kernel for anchor in anchors], axis=1)
        query = (h @ self.query_kernel)[:, tf.newaxis]
        return self._limited(tf.squeeze(tf.tensordot(tf.tanh(keys + query), self.attention, 1), axis=2))

    def _limited(self, logits: tf.Tensor) -> tf.Tensor:
        return self.tanh_limit * tf.tanh(logits / self.temperature)


def _drawn(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """An index per row of logits `[S, C]`, int32 `[S]`: where a uniform number falls in the shares."""
    bits = tf.random.stateless_uniform([logits.shape[0]], seed, None, None, tf.uint32, alg=seeds.ALGORITHM)
    u = tf.cast(bits, tf.float64) / 2.0**32
    below = tf.cumsum(tf.nn.softmax(tf.cast(logits, tf.float64)), axis=1)[:, :-1]
    return tf.reduce_sum(tf.cast(u[:, tf.newaxis] >= below, tf.int32), axis=1)


def score_function_gradients(
    controller: Controller, choices: tf.Tensor, advantages: tf.Tensor
) -> list[tf.Tensor]:
    """Gradients of the mean of -advantage · log π: those of -E[advantage], unbiased, where π wrote the cells.

    `choices` int32 `[S, ...]` and `advantages` `[S]` count as given (REINFORCE, Williams 1992).
    """
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(tf.stop_gradient(advantages) * controller.log_prob(choices))
    return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, controller.weights)]
