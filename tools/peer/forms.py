"""The ways in which PyTorch runs a step: their names, their precision, and the fastest of those timed.

Nothing here imports PyTorch, which need not be installed.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Form(NamedTuple):
    """A way to run a step of float32 weights."""

    compiled: bool = False  # torch.compile, with its own defaults
    autocast: bool = False  # torch.autocast to bfloat16

    @property
    def precision(self) -> str:
        """The type of the factors of its matrix products, named as `ModelOptions.matmul_dtype` names it."""
        return "bfloat16" if self.autocast else "float32"


EAGER = Form()
FORMS = {
    "eager": EAGER,
    "compiled": Form(compiled=True),
    "autocast": Form(autocast=True),
    "autocast_compiled": Form(compiled=True, autocast=True),
}


def fastest(seconds: Mapping[str, float | None], precision: str) -> str | None:
    """The form of a precision that took the fewest seconds; None of seconds: it could not run."""
    of_precision = [
        (value, name)
        for name, value in seconds.items()
        if value is not None and FORMS[name].precision == precision
    ]
    return min(of_precision)[1] if of_precision else None
