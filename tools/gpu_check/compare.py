"""Numbers of the small cases on two devices, each in a process of its own, and how far apart they are."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from bayesnas_tf.config.failures import one_line
from tools import machine
from tools.gpu_check import cases
from tools.gpu_check.cases import Case, Form, Numbers, values

# Differences are relative to an array's largest entry, or to this where all are smaller. Updates are
# differences of weights of about 1; h is a sum of squares, and right in its own digits.
LEAST = 1e-3
LEAST_OF_H = 1e-6


class Reference(NamedTuple):
    """What a case has on the CPU: the values that it starts from, and what it makes of them."""

    variables: list[np.ndarray]
    numbers: Numbers


class Entry(NamedTuple):
    """One check of the JSON."""

    check: str
    group: str
    passed: bool
    error: str | None = None  # what stopped it
    form: str | None = None
    tolerance: float | None = None
    differences: dict[str, float | None] | None = None  # by what is compared; None: not finite


def tolerance(case: Case) -> float:
    """How far from the CPU a case may be, relative."""
    return case.roundings * (case.precision or float(np.finfo(keras.config.floatx()).eps))


def difference(found: list[np.ndarray], wanted: list[np.ndarray], least: float = LEAST) -> float:
    """The largest difference of two lists of arrays, relative to the largest entry of each array."""
    largest = 0.0
    for a, b in zip(found, wanted, strict=True):
        a, b = a.astype(np.float64), b.astype(np.float64)
        if a.shape != b.shape or not np.isfinite(a).all() or not np.isfinite(b).all():
            return float("inf")
        if a.size:
            largest = max(largest, float(np.abs(a - b).max() / max(np.abs(b).max(), least)))
    return largest


def compared(name: str, form: Form, found: Numbers, wanted: Numbers) -> Entry:
    """The entry of a case."""
    case = cases.CASES[name]
    least = {"h": LEAST_OF_H}
    differences = {kind: difference(found[kind], wanted[kind], least.get(kind, LEAST)) for kind in wanted}
    passed = found.keys() == wanted.keys() and max(differences.values()) <= tolerance(case)
    finite: dict[str, float | None] = {k: v if np.isfinite(v) else None for k, v in differences.items()}
    return Entry(name, case.group, passed, None, form, tolerance(case), finite)


def hide_gpus() -> None:
    """From now on this process computes on the CPU."""
    if tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")


def references(names: list[str]) -> dict[str, Reference]:
    """What the plain graph gives on the CPU; to be called in a new process."""
    hide_gpus()
    found = {}
    for name in names:
        subject = cases.CASES[name].build("graph")
        before = values(subject.variables)
        found[name] = Reference(before, subject.compute())
    return found


def against(wanted: dict[str, Reference], device: str, until: float) -> list[Entry]:
    """The same cases on the device, in the form that a GPU takes; to be called in a new process.

    A case that has not begun by the time `until` fails. Products of float32 have all of its digits here: a
    GPU would round their factors to the 10 bits of TF32.
    """
    if device == "cpu":
        hide_gpus()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return [one(name, reference, device, until) for name, reference in wanted.items()]


def one(name: str, reference: Reference, device: str, until: float) -> Entry:
    """The entry of one case."""
    case = cases.CASES[name]
    if time.time() > until:
        return Entry(name, case.group, False, "not begun: the time was up")
    form: Form = "graph" if case.form == "cudnn" and device == "cpu" else case.form
    try:
        subject = case.build(form)
        for variable, value in zip(subject.variables, reference.variables, strict=True):
            variable.assign(value)
        return compared(name, form, subject.compute(), reference.numbers)
    except Exception as error:  # whatever it is, the other cases are to be heard
        return Entry(name, case.group, False, f"{type(error).__name__}: {one_line(error)[:300]}", form)


def run(groups: dict[str, list[str]], device: str, until: float) -> Iterator[Entry]:
    """All entries, group by group: a process that crashes takes one group with it."""
    for group, names in groups.items():
        try:
            wanted: Any = machine.alone(references, names)
            yield from machine.alone(against, wanted, device, until)
        except Exception as error:  # a process that was killed has no other name
            reason = f"{type(error).__name__}: {one_line(error)[:300]}"
            yield from (Entry(name, group, False, reason) for name in names)
