"""The user's own files as a corpus: whitespace separates tokens, a line end is `<eos>`."""

import difflib
import lzma
from pathlib import Path

from bayesnas_tf.data import sources
from bayesnas_tf.errors import UserError

HELD_OUT = 0.05  # share of the training file's lines for each split that has no file of its own


def source(train_file: str, valid_file: str, test_file: str, data_dir: str | Path) -> sources.Source:
    """The corpus of one to three files, each relative to the working folder or to `data_dir`.

    A split without a file takes the last 5 % of the training file's lines (when both are without: valid the
    5 % before the last, test the last), at least one line. A name that ends in `.xz` is unpacked, and bytes
    that are not UTF-8 are replaced. `UserError` when a file is missing, no text, or a split has no tokens.
    """
    if not train_file:
        raise UserError("corpus text has no file. Set CorpusOptions.train_file to the path of a text file")
    named = {"train": train_file, "valid": valid_file, "test": test_file}
    paths = {split: _find(name, Path(data_dir)) for split, name in named.items() if name}
    lines = {split: sources.split_lines(_read(path)) for split, path in paths.items()}
    held_out = max(1, int(HELD_OUT * len(lines["train"])))
    for split in ("test", "valid"):  # from the end backwards
        if split not in lines:
            lines["train"], lines[split] = lines["train"][:-held_out], lines["train"][-held_out:]
    for split, content in lines.items():
        if not any(line.split() for line in content):
            where = paths[split] if split in paths else f"the {split} part of {paths['train']}"
            raise UserError(f"empty corpus: {where} holds no tokens. Give a file with text")
    parts = ("\n".join([split, *lines[split]]) for split in sources.SPLITS)
    return sources.Source("text", sources.digest(["text", *parts]), lambda split: lines[split])


def _find(name: str, data_dir: Path) -> Path:
    """The path of a file; `UserError` with names that come near when there is none."""
    path = Path(name).expanduser()
    for candidate in (path, data_dir / path):
        if candidate.is_file():
            return candidate
    near = []
    for folder in (path.parent, (data_dir / path).parent):
        if folder.is_dir():
            names = [entry.name for entry in folder.iterdir() if entry.is_file()]
            near += [str(folder / match) for match in difflib.get_close_matches(path.name, names, n=2)]
    cure = f"Did you mean {' or '.join(dict.fromkeys(near))}?" if near else "Give the path of a text file"
    raise UserError(f"no file {name} in {Path.cwd()} or in {data_dir}. {cure}")


def _read(path: Path) -> bytes:
    """The content of a text file; `UserError` when it cannot be read or is something else."""
    try:
        content = sources.read_xz(path) if path.suffix == ".xz" else path.read_bytes()
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise UserError(f"{path} cannot be read: {error}. Replace it or name another") from error
    if b"\0" in content:  # in no text, but in archives, programs and UTF-16
        raise UserError(
            f"{path} holds no plain text: it has zero bytes. Save it as UTF-8 text, or as .xz of that"
        )
    return content
