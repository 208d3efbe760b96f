"""Optimizers that update every weight once, also where `tf.distribute` holds it on several devices."""

from collections.abc import Sequence
from typing import Protocol

import keras
import tensorflow as tf


class Stepping(Protocol):
    """What an optimizer of Keras has: the step of one variable."""

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Move a variable `[...]` by its gradient, of the same shape."""


class Once:
    """A mixin before a Keras optimizer, for gradients that are already those of all replicas.

    Keras hands each update to `tf.distribute`, which outside of a replica knows of one device alone. What is
    assigned to a mirrored weight here is copied to all of them.
    """

    def _backend_update_step(
        self: Stepping,
        grads: Sequence[tf.Tensor],
        trainable_variables: Sequence[keras.Variable],
        learning_rate: tf.Tensor,
    ) -> None:
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable, learning_rate)


class Adam(Once, keras.optimizers.Adam):
    """Adam of Keras."""


class SGD(Once, keras.optimizers.SGD):
    """SGD of Keras."""
