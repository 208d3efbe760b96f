"""The command lines of the tools: help with every default, and a mistake as one line."""

import argparse
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from bayesnas_tf.config.failures import told
from bayesnas_tf.errors import UserError, did_you_mean

REPEATABLE: dict[str, Any] = {"action": "append", "default": []}  # a flag that may be given several times


class _Form(argparse.RawDescriptionHelpFormatter):
    """The description as it is written, and the default of each flag."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if isinstance(action, argparse._HelpAction) or "(default: " in text:
            return text
        if action.required:
            return f"{text} (required)"
        default = "off" if action.default is False else action.default
        return f"{text} (default: {'none' if default in (None, '', []) else default})"


class Parser(argparse.ArgumentParser):
    """A parser whose help says all defaults, and whose errors are one line with a cure."""

    def __init__(self, name: str, description: str | None):
        """`name`: of the module; `description`: its docstring."""
        super().__init__(prog=f"python -m {name}", description=description, formatter_class=_Form)

    def error(self, message: str) -> NoReturn:
        """Print the line, and exit with code 2."""
        kind, _, rest = message.partition("unrecognized arguments: ")
        if not kind and rest:
            name = rest.split()[0].partition("=")[0]
            known = [flag for action in self._actions for flag in action.option_strings]
            message = f"unknown flag {name}{did_you_mean(name, known)}"
        message = re.sub(
            r"argument ([^:]+): invalid int value: ", r"\1 must be a whole number, not ", message
        )
        message = re.sub(r"argument ([^:]+): invalid float value: ", r"\1 must be a number, not ", message)
        message = re.sub(r"the following arguments are required: (.*)", r"\1 must be given", message)
        self.exit(2, f"error: {' '.join(message.split())}. See {self.prog} --help\n")


def ended(main: Callable[[], int | None]) -> int:
    """The exit code of a tool: 1, with one line, for what its user can cure."""
    try:
        return main() or 0
    except KeyError as error:
        print(f"error: what was read has no {error}. Give another file or folder", file=sys.stderr)
        return 1
    except (UserError, ValueError, OSError) as error:
        print(f"error: {told(error)}", file=sys.stderr)
        return 1
