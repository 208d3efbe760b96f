"""The one exception that a user is meant to read."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path


class UserError(Exception):
    """A mistake or a lack that the user can cure; its message is one line: what, where, cure.

    Commands print it as `error: ...` without a traceback and exit with code 1. `details` are lines
    shown below it, such as the diff of two configurations.
    """

    def __init__(self, message: str, details: str = ""):
        """Keep both texts in `args`, so that the error survives a pickle."""
        super().__init__(message, details)
        self.details = details

    def __str__(self) -> str:
        """The message alone."""
        return str(self.args[0])


class UsageError(UserError):
    """A command line that makes no sense; exit code 2."""


def expanded(name: str | Path) -> Path:
    """A path with `~` expanded.

    Raises:
      UserError: it names a user that there is not, or is too long for any file.
    """
    path = Path(name)
    if "\0" in str(name):
        raise UserError(f"the path {str(name)[:60]!r} has a zero byte. Give another one")
    try:
        path = path.expanduser()
        path.exists()
    except RuntimeError as error:
        raise UserError(
            f"no user {str(name).split('/')[0]!r}. Named in {name}. Write the whole path"
        ) from error
    except OSError as error:
        raise UserError(
            f"cannot use the path {str(name)[:60]!r}: {reason(error)}. Give another one"
        ) from error
    return path


def reason(error: OSError) -> str:
    """Why the system refused, in its own words."""
    return (error.strerror or str(error)).lower()


@contextlib.contextmanager
def writing(path: str | Path, flag: str) -> Iterator[None]:
    """Turn what the file system refuses into one readable error, whose cure is another `flag`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {reason(error)}. Choose another {flag}") from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest known name, or an empty string."""
    by_lower = {word.lower(): word for word in sorted(known)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean {by_lower[near[0]]!r}?)" if near else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """`unknown space 'x' (did you mean 'y'?). The spaces are y, z`."""
    names = list(known)
    return f"unknown {kind} {name!r}{did_you_mean(name, names)}. The {kind}s are {', '.join(names)}"
