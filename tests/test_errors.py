"""What a user does wrong gives one line through the real command, and spoils nothing that was there."""

import os
from pathlib import Path

import pytest

from bayesnas_tf import config, evaluate, search
from tests.support import tiny


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder with a corpus, prepared once."""
    folder = tmp_path_factory.mktemp("errors")
    tiny.write(folder)
    (folder / "empty.txt").write_text("\n\n")
    (folder / "short.txt").write_text("one two three\n")
    (folder / "ptb.train.txt").write_text("not the Penn Treebank\n")
    (folder / "text.bin").write_bytes(b"\0\1\2")
    (folder / "file").write_text("a file, no folder")
    return folder


def failure(capsys, main, command, flags):
    """The one line of a command that fails."""
    assert config.run_command(main, command, flags) == 1
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    return lines[0]


def param(text):
    return f"--gin_param={text}"


WRONG = {
    "missing file": (
        [param("CorpusOptions.train_file='trian.txt'")],
        ["no file trian.txt", "Did you mean", "train.txt"],
    ),
    "no text": ([param("CorpusOptions.train_file='text.bin'")], ["text.bin", "zero bytes", "UTF-8"]),
    "empty corpus": ([param("CorpusOptions.train_file='empty.txt'")], ["empty corpus", "empty.txt"]),
    "corpus shorter than a window": (
        [param("CorpusOptions.train_file='short.txt'"), param("CorpusOptions.vocabulary_size=10")],
        ["text (train) is too short", "4 tokens", "windows of 5 steps", "Use a longer text"],
    ),
    "wrong md5": (
        [
            param("CorpusOptions.name='ptb'"),
            *(param(f"CorpusOptions.{split}_file=''") for split in ("train", "valid", "test")),
        ],
        [
            "ptb.train.txt has the wrong content",
            "f26c4b92c5fdc7b3f8c7cdcb991d8420",
            "Replace it or remove it",
        ],
    ),
    "unknown gin name": ([param("CellOptons.units=3")], ["'CellOptons'", "did you mean 'CellOptions'?"]),
    "unknown parameter": ([param("CellOptions.unit=3")], ["no parameter 'unit'", "did you mean 'units'?"]),
    "unknown choice": ([param("CellOptions.norm='bacth'")], ["'bacth'", "did you mean 'batch'?"]),
    "wrong type": ([param("CellOptions.units='many'")], ["cannot be 'many'", "a whole number"]),
    "impossible value": ([param("CellOptions.units=0")], ["CellOptions.units cannot be 0", "at least 1"]),
    "missing gin file": (["--gin_file=tinny.gin"], ["tinny.gin"]),
}


@pytest.mark.parametrize(("flags", "parts"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_one_line_and_spoils_nothing(corpus, tmp_path, capsys, flags, parts):
    kept = tmp_path / "run" / "posterior.npz"
    for _ in range(2):
        places = [f"--data_dir={corpus}", f"--run_dir={tmp_path / 'run'}"]
        line = failure(capsys, search.main, "search", [f"--gin_file={corpus / 'tiny.gin'}", *places, *flags])
        assert all(part in line for part in parts), line
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("hours of work")
    assert kept.read_text() == "hours of work"


def test_a_run_directory_that_cannot_be_written_is_one_line(corpus, capsys):
    line = failure(capsys, search.main, "search", tiny.command(corpus, "file/run"))
    assert str(corpus / "file" / "run") in line
    assert (corpus / "file").read_text() == "a file, no folder"


def test_a_folder_without_permission_is_one_line(corpus, tmp_path, capsys):
    tmp_path.chmod(0o500)
    closed = Path("/sys") if os.geteuid() == 0 else tmp_path  # root may write elsewhere, whatever the mode
    if not closed.is_dir():
        pytest.skip("this system has no folder in which root may not write (Linux has /sys)")
    flags = [*tiny.command(corpus, "x"), f"--run_dir={closed / 'run'}"]
    assert str(closed / "run") in failure(capsys, search.main, "search", flags)


def test_another_configuration_in_the_same_directory_is_refused_with_the_difference(corpus, capsys):
    short = param("CorpusOptions.train_file='short.txt'")
    failure(capsys, search.main, "search", tiny.command(corpus, "begun", short))
    (corpus / "begun" / "metrics.jsonl").touch()  # as if it had got as far as its loop
    before = (corpus / "begun" / "config.gin").read_text()
    again = tiny.command(corpus, "begun", short, param("CellOptions.units=5"))
    assert config.run_command(search.main, "search", again) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "started with another configuration" in lines[0]
    assert [line for line in lines[1:] if "units" in line] == [
        "-CellOptions.units = 3",
        "+CellOptions.units = 5",
    ]
    assert (corpus / "begun" / "config.gin").read_text() == before


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "no genotype"),
        ("{}", "not a genotype"),
        (
            '{"format": "bayesnas_tf.genotype/1", "nodes": [{"source": 4, "op": "relu"}], "output": [1]}',
            "node 1",
        ),
    ],
)
def test_a_genotype_that_is_none_is_one_line(corpus, tmp_path, capsys, content, part):
    path = tmp_path / "cell.json"
    if content is not None:
        path.write_text(content)
    flags = ["--gin_file=quickstart_eval.gin", f"--genotype={path}", f"--run_dir={tmp_path / 'run'}"]
    assert part in failure(capsys, evaluate.main, "evaluate", [*flags, f"--data_dir={corpus}"])
