"""The user's own files as a corpus: whitespace separates tokens, a line end is `<eos>`."""

import difflib
from pathlib import Path

from bayesnas_tf.data import sources
from bayesnas_tf.errors import UserError

HELD_OUT = 0.05  # share of the lines of the training file for each split that has no file of its own


def source(train_file: str, valid_file: str, test_file: str, data_dir: str | Path) -> sources.Source:
    """The corpus of one to three files, each relative to the working folder or to `data_dir`.

    A split without a file takes lines from the end of the training file, 5 % each, first valid, then test.
    Bytes that are not UTF-8 are replaced. `UserError` when a file is missing or a split has no tokens.
    """
    if not train_file:
        raise UserError("corpus text has no file. Set CorpusOptions.train_file to the path of a text file")
    paths = {"train": train_file, "valid": valid_file, "test": test_file}
    contents = {split: _find(path, Path(data_dir)).read_bytes() for split, path in paths.items() if path}
    lines = {split: sources.split_lines(content) for split, content in contents.items()}
    for split in ("test", "valid"):
        if split not in lines:
            lines[split] = _held_out(lines["train"], 1.0 - HELD_OUT * (split == "test"))
    held = [split for split in ("valid", "test") if split not in contents]
    raise NotImplementedError(held)
