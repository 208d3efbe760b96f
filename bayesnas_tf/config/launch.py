"""From a command line to a result or one line that says what is wrong."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import gin

from bayesnas_tf.config import bindings, failures, flags, gin_files, registry, resolve, run_directory
from bayesnas_tf.config.run import Run, run_of
from bayesnas_tf.errors import UsageError, UserError
from bayesnas_tf.run_files import RunFiles

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
    stored, imports = _stored_statements(line.options.run) if reads_run else ([], [])
    with _quiet(line.verbose):
        _prepare_keras()
        bindings.load(modules)
    ours = modules is bindings.MODULES  # of other configurables nobody knows what a command needs and reads
    left_out = [text for text in imports if text not in {getattr(s, "text", "") for s in statements}]
    try:
        bindings.bind([*stored, *statements], line.command if ours else "")
    except registry.Unknown as error:
        if not left_out:
            raise
        told = f"The run needs `{left_out[0]}`, and {line.command} does not import the modules of a run"
        raise UserError(f"{error}. {told}. Add --gin_file=FILE, a file with that line") from error
    if reads_run:
        return _reader(line, line.options.run)
    if line.command == "score":
        return _reader(line, line.options.model)
    return run_directory.open_run(line, gin.config_str())


def _stored_statements(directory: Path) -> tuple[list[gin_files.Statement], list[str]]:
    """What the run in `directory` was configured with, and what it imports; `UserError` where none is."""
    text, where = run_directory.stored_config(directory), str(RunFiles(directory).config)
    return [*resolve.lasting(gin_files.read_text(text, where))], gin_files.imports(text, where)


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
    return run_of(line, directory, directory.name, gin.config_str())


def _prepare_environment(verbose: bool) -> None:
    """What libraries read when they are imported: backend and version of Keras, how much they say."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_USE_LEGACY_KERAS"] = "0"
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("matplotlib").setLevel(logging.ERROR)  # silent about its cache of fonts


def _prepare_keras() -> None:
    """Import Keras, without pyplot, and set what it would take from keras.json in the user's home."""
    loaded = sys.modules.pop("matplotlib", None)
    sys.modules["matplotlib"] = None  # type: ignore[assignment]  # Keras would import pyplot: a second
    try:
        import keras  # late: the command line is read without it
    finally:
        del sys.modules["matplotlib"]
        if loaded:
            sys.modules["matplotlib"] = loaded

    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")


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
        cure = "resumes from what is saved" if command in ("search", "evaluate", "sweep") else "starts again"
        print(f"interrupted. The same command {cure}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return 0  # whoever read the output, such as `head`, has seen enough
    except Exception as error:
        failures.show(error, verbose)
        return 2 if isinstance(error, UsageError) else 1


def _prepare_streams() -> None:
    """Let no character and no closed stream end a command: the first is replaced, the second swallows all."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  to the end of the process
        getattr(sys, name).reconfigure(errors="replace")


def _flushed(code: int) -> int:
    """The code once all output is out; a reader that is gone is no error."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError as error:  # a full disk behind the output
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        failures.show(error, verbose=False)
        return code or 1
    return code


def launch(main: Callable[[Run], None], command: str, modules: Iterable[str] = bindings.MODULES) -> None:
    """The last line of an entry module: run the command on `sys.argv` and exit with its code.

    A failure exits at once: nothing that TensorFlow says while it is taken down follows the error.
    """
    _prepare_streams()
    code = _flushed(run_command(main, command, sys.argv[1:], modules))
    if code in (0, INTERRUPTED):
        sys.exit(code)
    os._exit(code)
