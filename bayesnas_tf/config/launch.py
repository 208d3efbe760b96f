"""From a command line to a result or one line that says what is wrong."""

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import gin

from bayesnas_tf.config import bindings, flags, gin_files, resolve, run_directory
from bayesnas_tf.config.run_directory import Run
from bayesnas_tf.errors import UsageError, UserError

INTERRUPTED = 130


def parse(
    files: Sequence[str] = (),
    params: Sequence[str] = (),
    modules: Iterable[str] = bindings.MODULES,
    prefix: str = "--gin",
) -> str:
    """Configure gin from files and parameters; the whole configuration as one text comes back.

    `UserError` names an unknown file, name, parameter or macro, or a value of the wrong type. The flags
    that gave them are called `prefix`_file and `prefix`_param.
    """
    statements = gin_files.read(files, params, prefix)
    bindings.load(modules)
    bindings.bind(statements)
    return gin.config_str()


def open_run(line: flags.CommandLine, modules: Iterable[str] = bindings.MODULES) -> Run:
    """Configure gin as the command line says, and claim the run directory where the command has one."""
    if line.command == "report":
        return _reader(line, line.options.out.parent)  # reads configurations, has none, needs no TensorFlow
    statements = gin_files.read(line.gin_files, line.gin_params)
    reads_run = line.command in flags.READS_RUN
    stored = _stored_statements(line.options.run) if reads_run else []
    with _quiet(line.verbose):
        bindings.load(modules)
    bindings.bind([*stored, *statements], line.command)
    if reads_run:
        return _reader(line, line.options.run)
    if line.command == "score":
        return _reader(line, line.options.model)
    return run_directory.open_run(line, gin.config_str())


def _stored_statements(directory: Path) -> list[gin_files.Statement]:
    """What the run in `directory` was configured with; `UserError` where there is no run."""
    config = directory / run_directory.CONFIG
    return [*resolve.lasting(gin_files.read_text(run_directory.stored_config(directory), str(config)))]


@contextlib.contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Drop what libraries print on stderr: TensorFlow greets from C++, and no setting of it stops that."""
    if verbose:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _reader(line: flags.CommandLine, directory: Path) -> Run:
    """The run of a command that only reads `directory`."""
    return Run(
        command=line.command,
        directory=directory,
        seed=line.seed,
        data_dir=line.data_dir,
        config_name=directory.name,
        config_text=gin.config_str(),
        dry_run=line.dry_run,
        verbose=line.verbose,
        overwrite=line.overwrite,
        resumed=False,
        options=line.options,
    )


def one_line(error: BaseException) -> str:
    """The message of an exception as one line; gin's note about the call becomes a short one."""
    text = re.sub(
        r"\s*In call to configurable '([^']+)' \(.*?\)(?: in scope '[^']*')?(?=\n|$)", r" (in \1)", str(error)
    )
    return " ".join(text.split()) or type(error).__name__


def _fail(error: BaseException, verbose: bool) -> None:
    """Print one error for the user."""
    if verbose:
        traceback.print_exception(error)
    if isinstance(error, UserError | ValueError):
        print(f"error: {one_line(error)}", file=sys.stderr)
        if details := getattr(error, "details", ""):
            print(details, file=sys.stderr)
    else:
        kind = type(error).__name__
        print(f"error: {kind}: {one_line(error)}. Add --verbose for the place in the code", file=sys.stderr)


def _prepare_environment(verbose: bool) -> None:
    """What TensorFlow and Keras read when they are imported: the backend, and how much they say."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def run_command(
    main: Callable[[Run], None],
    command: str,
    arguments: Sequence[str],
    modules: Iterable[str] = bindings.MODULES,
) -> int:
    """Parse the arguments, run `main`, and turn every failure into one line and an exit code."""
    verbose = "--verbose" in arguments
    try:
        line = flags.parse(command, arguments)
        if isinstance(line, str):
            print(line)
            return 0
        verbose = line.verbose
        _prepare_environment(verbose)
        run = open_run(line, modules)
        try:
            main(run)
        finally:
            run.close()
        return 0
    except KeyboardInterrupt:
        cure = "resumes from what is saved" if command in ("search", "evaluate", "sweep") else "begins again"
        print(f"interrupted. The same command {cure}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        _fail(error, verbose)
        return 2 if isinstance(error, UsageError) else 1


def launch(main: Callable[[Run], None], command: str, modules: Iterable[str] = bindings.MODULES) -> None:
    """The last line of an entry module: run the command on `sys.argv` and exit with its code."""
    sys.exit(run_command(main, command, sys.argv[1:], modules))
