"""What a process and the library that it loads with LD_PRELOAD share: what to count, and what to do."""

import ctypes
import mmap
import os
import shutil
import subprocess
from pathlib import Path

from tests.tools.faults import library

VARIABLE = "BAYESNAS_FAULTS"  # names the file that is shared


class Block(ctypes.Structure):
    """The memory that is shared, as the C source has it."""

    _fields_ = (
        *((name, ctypes.c_long) for name in ("on", "count", "first", "every", "full")),
        *((name, ctypes.c_char * 1024) for name in ("prefix", "photos", "log")),
        ("mutex", ctypes.c_char * 256),
    )


def compiler() -> str | None:
    """A C compiler, where there is one."""
    return next(filter(None, map(shutil.which, ("gcc", "cc", "clang"))), None)


def environment(folder: Path) -> dict[str, str]:
    """Compile the library into `folder`, and say what makes a process load it."""
    source, shared = folder / "library.c", folder / "library.so"
    source.write_text(library.SOURCE)
    flags = ["-shared", "-fPIC", "-O1", "-w", "-o", str(shared), str(source), "-ldl", "-lpthread"]
    subprocess.run([str(compiler()), *flags], check=True)
    block = Block(count=-1)
    (folder / "control").write_bytes(bytes(block))
    return {**os.environ, "LD_PRELOAD": str(shared), VARIABLE: str(folder / "control")}


def private() -> Block:
    """Memory that this process shares with its forked children alone."""
    return Block.from_buffer(mmap.mmap(-1, ctypes.sizeof(Block)))


def attach() -> Block:
    """The memory that this process shares with its library."""
    with open(os.environ[VARIABLE], "r+b") as file:
        return Block.from_buffer(mmap.mmap(file.fileno(), 0))
