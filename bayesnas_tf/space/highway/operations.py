"""The operations by name, without TensorFlow: all that a genotype has to know of them."""

OP_NAMES: tuple[str, ...] = ("tanh", "relu", "sigmoid", "identity")


def position(name: str) -> int:
    """The place of an operation on the last axis of every `[E, O]` array; `ValueError` lists the names."""
    if name not in OP_NAMES:
        raise ValueError(f"unknown operation {name!r}. The operations are {', '.join(OP_NAMES)}")
    return OP_NAMES.index(name)
