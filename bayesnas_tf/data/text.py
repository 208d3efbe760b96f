"""The user's own files as a corpus: whitespace separates tokens, a line end is `<eos>`."""

import difflib
import os
from pathlib import Path

from bayesnas_tf.data import reader, sources
from bayesnas_tf.errors import UserError, expanded

HELD_OUT = 0.05  # share of the training file's lines for each split that has no file of its own


def source(train_file: str, valid_file: str, test_file: str, data_dir: str | Path) -> sources.Source:
    """The corpus of one to three files, each relative to the working folder or to `data_dir`.

    A split without a file takes the last 5 % of the training file's lines (when both are without: valid the
    5 % before the last, test the last), at least one line. Where a split would be without a word by that, as
    in a text of one line, the last 5 % of the training file's characters are taken, up to a blank. `reader`
    says what a text may be. `UserError` when a file is missing, no text, or a split has no tokens.
    """
    if not train_file:
        raise UserError("corpus text has no file. Set CorpusOptions.train_file to the path of a text file")
    named = {"train": train_file, "valid": valid_file, "test": test_file}
    paths = {split: _find(name, Path(data_dir)) for split, name in named.items() if name}
    lines = {split: reader.lines(path) for split, path in paths.items()}
    shared = _shared(lines)
    for split, content in shared.items():
        if not _has_words(content):
            empty = split in lines and not _has_words(lines[split])
            where = paths[split] if empty else f"the {split} part of {paths['train']}"
            cure = "Give a file with text" if empty else "Give a longer text"
            raise UserError(f"empty corpus: {where} holds no tokens. {cure}")
    parts = ("\n".join([split, *shared[split]]) for split in sources.SPLITS)
    return sources.Source("text", sources.digest(["text", *parts]), lambda split: shared[split])


def _shared(lines: dict[str, list[str]]) -> dict[str, list[str]]:
    """Lines of all splits, those without a file from the end of train: whole lines, or else words."""
    found = dict(lines)
    held_out = max(1, int(HELD_OUT * len(lines["train"])))
    taken = [split for split in ("test", "valid") if split not in lines]  # from the end backwards
    for split in taken:
        found["train"], found[split] = found["train"][:-held_out], found["train"][-held_out:]
    if all(_has_words(found[split]) for split in ("train", *taken)):
        return found
    text = "\n".join(lines["train"])
    held_out = max(1, int(HELD_OUT * len(text)))
    for split in taken:
        text = text.rstrip()
        end = len(text) - held_out
        while end > 0 and not text[end - 1].isspace():
            end -= 1
        text, found[split] = text[: max(end, 0)], text[max(end, 0) :].split("\n")
    return {**found, "train": text.rstrip().split("\n")} if taken else found


def _has_words(lines: list[str]) -> bool:
    return any(line and not line.isspace() for line in lines)


def _find(name: str, data_dir: Path) -> Path:
    """The path of a file.

    Raises:
      UserError: it is there and no file that can be read again, or is not there, with names that come near.
    """
    path = expanded(name)
    hindrances = {candidate: reader.hindrance(candidate) for candidate in (path, data_dir / path)}
    for candidate, hindrance in hindrances.items():
        if not hindrance:
            return candidate
    for candidate, hindrance in hindrances.items():
        if hindrance != reader.NOTHING:
            raise UserError(f"{candidate} cannot be read: {hindrance}. {reader.CURE}")
    near = []
    for folder in dict.fromkeys((path.parent, (data_dir / path).parent)):
        names = [entry for entry in _entries(folder) if os.path.isfile(folder / entry)]
        near += [str(folder / match) for match in difflib.get_close_matches(path.name, names, n=2)]
    cure = f"Did you mean {' or '.join(dict.fromkeys(near))}?" if near else reader.CURE
    raise UserError(f"no file {name} in {Path.cwd()} or in {data_dir}. {cure}")


def _entries(folder: Path) -> list[str]:
    """The names in a folder; none where it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []
