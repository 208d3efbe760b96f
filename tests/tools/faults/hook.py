"""What `library` does, where there is no C compiler: Python's own operations, each before it happens."""

import errno
import os
import shutil
import sys

from tests.tools.faults.control import Block

OPERATIONS = {"os.rename": "rename", "os.mkdir": "mkdir", "os.remove": "unlink", "os.rmdir": "unlink"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def install(block: Block) -> None:
    """Watch this process from now on; there is no way to stop."""
    prefix, busy = block.prefix.decode(), False

    def watch(event: str, arguments: tuple) -> None:
        nonlocal busy
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if busy or not (event in OPERATIONS or opened):
            return
        path = os.path.abspath(os.fsdecode(arguments[0])) if isinstance(arguments[0], str | bytes) else ""
        path = os.path.abspath(os.fspath(arguments[0])) if hasattr(arguments[0], "__fspath__") else path
        if not path.startswith(prefix):
            return
        busy = True
        try:
            _count(block, OPERATIONS.get(event, "open"), path)
        finally:
            busy = False

    sys.addaudithook(watch)


def _count(block: Block, what: str, path: str) -> None:
    block.count += 1
    with open(block.log.decode(), "a") as log:
        log.write(f"{block.count}\t{what}\t{path}\t\t0\n")
    if block.every and block.count >= block.first and (block.count - block.first) % block.every == 0:
        shutil.copytree(block.prefix.decode(), f"{block.photos.decode()}/{block.count:06d}", symlinks=True)
    if block.full and block.count >= block.full and what in ("open", "mkdir") and not os.path.exists(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
