"""The operations by name, without TensorFlow: all that a genotype has to know of them."""

from bayesnas_tf.errors import unknown

OP_NAMES: tuple[str, ...] = ("tanh", "relu", "sigmoid", "identity")


def position(name: str) -> int:
    """The place of an operation on the last axis of every `[E, O]` array; `ValueError` lists the names."""
    if name not in OP_NAMES:
        raise ValueError(unknown("operation", name, OP_NAMES))
    return OP_NAMES.index(name)
