"""Averaged SGD as a Keras optimizer (Polyak & Juditsky 1992), the ASGD half of NT-ASGD."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from bayesnas_tf.numerics import xla

NOT_YET = -1


def averaging_weight(count: tf.Tensor, pytorch_compat: bool) -> tf.Tensor:
    """Share of the newest iterate in the mean of `count` iterates, float64 `[]`; 1 before there is one.

    1 / count; `torch.optim.ASGD` is one step late, 1 / max(1, count - 1): its first iterate is overwritten.
    """
    return 1.0 / tf.cast(tf.maximum(count - int(pytorch_compat), 1), tf.float64)


def averaged(
    mean: tf.Tensor, rest: tf.Tensor, w: tf.Tensor, weight: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean and its rest after w has joined them, all `[...]` of one shape; `weight` is a scalar.

    `weight` 1 gives w itself, to the bit, and no rest: there averaging begins.

    The mean is `mean` + `rest`, where `rest` is what did not fit into the digits of `mean` (Dekker 1971).
    Without it, float32 loses every step of the mean that is below half a unit in its last place: after 3e5
    iterates of about 1 that move by 0.03 in all, the mean is off by 2e-4, and by 3e-3 where it is computed as
    (1 - weight) * mean + weight * w.
    """
    # not w - (mean + rest): that sum rounds back to the mean
    step = weight * ((w - mean) - rest) + rest
    moved = mean + step
    among_others = weight < 1.0
    # step - (moved - mean) is the part of the step that `moved` has no digits for
    return tf.where(among_others, moved, w), tf.where(among_others, step - (moved - mean), tf.zeros_like(w))


class Stepped(NamedTuple):
    """What one step takes and what it makes of it; a list entry per weight, of its shape."""

    weights: list[tf.Tensor]
    means: list[tf.Tensor]
    rests: list[tf.Tensor]


def stepped(
    before: Stepped,
    gradients: Sequence[tf.Tensor],
    rate: tf.Tensor,
    decays: Sequence[float | None],
    share: tf.Tensor,
) -> Stepped:
    """w - η (g + λ w) of each weight `[...]`, and its mean after that has joined it; one function for XLA.

    Args:
      before: weights, means and rests.
      gradients: of each weight, of its shape.
      rate: η, a scalar.
      decays: λ of each weight; None is 0.
      share: of the new weight in its mean, from `averaging_weight`.
    """
    after = Stepped([], [], [])
    for w, mean, rest, gradient, decay in zip(*before, gradients, decays, strict=True):
        moved = w - tf.cast(rate, w.dtype) * (gradient if decay is None else gradient + decay * w)
        joined = averaged(mean, rest, moved, tf.cast(share, w.dtype))
        for part, value in zip(after, (moved, *joined), strict=True):
            part.append(value)
    return after


class Rests(tf.Module):
    """The rests of the means, apart from the optimizer's variables, which checkpoints of version 0.1 hold."""

    def __init__(self, variables: Sequence[keras.Variable]):
        """Zero: of no mean."""
        super().__init__()
        self.of = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in variables]

    def forget(self) -> None:
        """As at the start: what a checkpoint without rests stands for."""
        for rest in self.of:
            rest.assign(tf.zeros_like(rest))


@keras.saving.register_keras_serializable(package="bayesnas_tf")
class ASGD(keras.optimizers.Optimizer):
    """SGD without momentum that, from `start_averaging` on, also keeps the mean of its iterates.

    A step is w ← w - η (g + λ w) with λ the weight decay, outside any clip, as in PyTorch. Training goes on
    from w; the mean is what one validates and keeps, see `averages`. A checkpoint that is to resume bit for
    bit also holds `rests`, the last digits of the means.

    Args:
      learning_rate: η; assign to the attribute of this name to change it from step to step.
      weight_decay: λ; None is 0.
      pytorch_compat: do as `torch.optim.ASGD(t0=0, lambd=0)` does, and with it DARTS and AWD-LSTM: from the
        second averaged step on, η is that of the step before, and the mean leaves out the first iterate.
      compiled: whether XLA compiles the step to one pass over memory; no part of the configuration.
      kwargs: clipping and the like, see `keras.optimizers.Optimizer`.
    """

    def __init__(
        self,
        learning_rate: float = 10.0,
        weight_decay: float | None = None,
        pytorch_compat: bool = False,
        name: str = "asgd",
        compiled: bool = False,
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, name=name, **kwargs)
        self.pytorch_compat, self.compiled = pytorch_compat, compiled
        self._averages: list[keras.Variable] = []

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the means and what tells when they began."""
        if self.built:
            return
        super().build(variables)
        self._averages = self.add_optimizer_variables(variables, "average")
        object.__setattr__(self, "rests", Rests(variables))  # untracked: see `Rests`
        scalar = lambda name, dtype, value: self.add_variable(  # noqa: E731
            shape=(), initializer=keras.initializers.Constant(value), dtype=dtype, name=name
        )
        self._start = scalar("start", "int64", NOT_YET)  # iterations before the first averaged one
        self._last_rate = scalar("last_rate", self.learning_rate.dtype, 0.0)

    def start_averaging(self) -> None:
        """Average all iterates from the next step on."""
        self._start.assign(self.iterations)

    @property
    def averaging(self) -> bool:
        """Whether there is a mean of at least one iterate."""
        return NOT_YET < int(self._start.value) < int(self.iterations.value)

    def apply(
        self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[keras.Variable] | None = None
    ) -> None:
        """One step of all variables; `grads` in their order, dense, `[...]` as the variables are."""
        super().apply(grads, trainable_variables)
        # after the step: the rate of this step is the one that `pytorch_compat` takes in the next
        self._last_rate.assign(self.learning_rate)

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        """Part of `update_step`, which knows the rate."""

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """The step of one variable `[...]`, and its mean."""
        self._backend_update_step([gradient], [variable], learning_rate)

    def _backend_update_step(
        self,
        grads: Sequence[tf.Tensor],
        trainable_variables: Sequence[keras.Variable],
        learning_rate: tf.Tensor,
    ) -> None:
        """The steps of all variables `[...]` at once, outside of `tf.distribute`: see `once`.

        One function, compiled on request, makes all new values; only then are they assigned. Averaging is
        a matter of numbers, not of branches: before it begins the share of the newest iterate is 1, so that
        the mean is the iterate itself, and one graph serves the whole training.
        """
        # the number of this step among the averaged ones, from 1; before there are any it is below 1
        start = tf.convert_to_tensor(self._start)
        count = tf.convert_to_tensor(self.iterations) - tf.cast(start, self.iterations.dtype) + 1
        count = tf.where(start == NOT_YET, tf.zeros_like(count), count)
        rate = tf.convert_to_tensor(learning_rate)
        if self.pytorch_compat:
            rate = tf.where(count > 1, tf.convert_to_tensor(self._last_rate), rate)
        decays = [self.weight_decay if self._use_weight_decay(v) else None for v in trainable_variables]
        averages = [self._averages[self._get_variable_index(v)] for v in trainable_variables]
        rests = [self.rests.of[self._get_variable_index(v)] for v in trainable_variables]
        before = Stepped(
            *([tf.convert_to_tensor(v) for v in of] for of in (trainable_variables, averages, rests))
        )
        step = xla.stage(stepped, self.compiled)
        share = averaging_weight(count, self.pytorch_compat)
        after = step(before, list(grads), rate, decays, share)
        for variable, value in zip(
            [*trainable_variables, *averages], [*after.weights, *after.means], strict=True
        ):
            self.assign(variable, value)
        for rest, value in zip(rests, after.rests, strict=True):
            rest.assign(value)

    @contextlib.contextmanager
    def averages(self) -> Iterator[None]:
        """Within this context the variables hold their means, where there are any; then their iterates."""
        if not self.averaging:
            yield
            return
        iterates = [tf.identity(variable) for variable in self._trainable_variables]
        try:
            for variable, average in zip(self._trainable_variables, self._averages, strict=True):
                variable.assign(average)
            yield
        finally:
            for variable, iterate in zip(self._trainable_variables, iterates, strict=True):
                variable.assign(iterate)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "pytorch_compat": self.pytorch_compat}
