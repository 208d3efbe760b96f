"""What went wrong, in one line for the user: what, where, cure."""

import errno
import re
import sys
import traceback

from bayesnas_tf.errors import UserError

FULL = "no space left on device"
# what TensorFlow says of files -> what a user may do
REASONS = {
    FULL: "Free some space; the same command resumes",
    "disk quota exceeded": "Free some space; the same command resumes",
    "read-only file system": "Choose a folder that you can write to",
    "permission denied": "Choose a folder that you may read and write",
    "too many open files": "Raise the limit with `ulimit -n`",
    "input/output error": "Check the disk; the same command resumes",
}
MEMORY = "Lower WindowOptions.batch_size or the units of the cell, or close other programs"
_PATH = re.compile(r"(/[^\s;:'\"]+)")


def one_line(error: BaseException) -> str:
    """The message of an exception as one line; gin's note about the call becomes a short one."""
    text = re.sub(
        r"\s*In call to configurable '([^']+)' \(.*?\)(?: in scope '[^']*')?(?=\n|$)", r" (in \1)", str(error)
    )
    return " ".join(text.split()) or type(error).__name__


def told(error: BaseException) -> str:
    """The line about an exception, whoever raised it."""
    if isinstance(error, UserError | ValueError) and not _foreign(error):
        return one_line(error)
    exhausted = isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
    if exhausted and FULL not in str(error).lower():
        return f"out of memory. {_short(error)}. {MEMORY}"
    if (reason := _of_files(error)) is not None:
        return reason
    kind = type(error).__name__
    return f"{kind}: {one_line(error)}. Add --verbose to see the place in the code"


def _foreign(error: BaseException) -> bool:
    """Whether it is a ValueError that TensorFlow raised, whose text is no sentence for a user."""
    return not isinstance(error, UserError) and "{{function_node" in str(error)


def _short(error: BaseException) -> str:
    """The first sentence of a long message."""
    return re.sub(r"\{\{.*?\}\}", "", one_line(error)).split(" [Op:")[0].strip()[:160].rstrip(". ")


def _of_files(error: BaseException) -> str | None:
    """An error of the file system, whether Python or TensorFlow met it; None for any other."""
    text = str(error).lower()
    if isinstance(error, OSError) and error.errno is not None:
        text = errno_text(error).lower()
    found = next((reason for reason in REASONS if reason in text), None)
    if found is None and not (isinstance(error, OSError) and error.filename):
        return None
    path = getattr(error, "filename", None) or next(iter(_PATH.findall(str(error))), "a file")
    if "is a directory" in text:
        return f"cannot use {path}: it is a folder. Move it away, or give another path"
    reading = "no such file" in text
    cure = REASONS.get(found or "", "Give another path" if reading else "Check it; the same command resumes")
    return f"cannot {'read' if reading else 'write'} {path}: {found or text}. {cure}"


def errno_text(error: OSError) -> str:
    """The system's own words for the error."""
    return error.strerror or errno.errorcode.get(error.errno or 0, type(error).__name__)


def show(error: BaseException, verbose: bool) -> None:
    """Print one error for the user, and the traceback where it is wanted."""
    if verbose:
        traceback.print_exception(error)
    print(f"error: {told(error)}", file=sys.stderr)
    if details := getattr(error, "details", ""):
        print(details, file=sys.stderr)
