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


def fastest(seconds: Mapping[str, float], precision: str) -> str | None:
    """Of the forms that ran, that of a precision which took the fewest seconds; None: there is none."""
    of_precision = [name for name in seconds if FORMS[name].precision == precision]
    return min(of_precision, key=lambda name: seconds[name], default=None)
