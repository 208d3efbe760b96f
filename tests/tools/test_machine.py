"""`tools.machine`: memory and processes of a measurement."""

import os

import pytest

from tools import machine


def test_peak_memory_is_that_since_the_reset():
    if not machine.reset_peak():
        pytest.skip("this system cannot forget a process's peak memory (Linux can)")
    before = machine.peak_mb()
    block = bytearray(50_000_000)
    assert len(block) == 50_000_000
    assert machine.peak_mb() > before + 40


def test_a_function_that_runs_alone_has_its_own_process():
    assert machine.alone(os.getpid) != os.getpid()
    block = bytearray(200_000_000)
    assert machine.alone(machine.resident_mb) < machine.resident_mb()
    assert len(block) == 200_000_000
