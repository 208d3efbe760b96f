"""What is no ordinary text has a defined result, in the signatures and on the command line."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.config import gin_files
from bayesnas_tf.data import unpacking
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.serving import scoring
from bayesnas_tf.serving import signatures as serving
from bayesnas_tf.serving.tokenisation import RULES
from tests.support import trained
from tools import machine

LONG = 20_000  # words in one line


@pytest.mark.parametrize(
    "lines",
    [
        ["one two three", "", "six zebra"],
        [b"one \xff\xfe two", b"", b"one a\x00b", b"three " * 5000],  # bytes, as a file has them
    ],
    ids=["text", "bytes"],
)
def test_saved_model_cli_scores_raw_text(exported, score, tmp_path, lines):
    command = [Path(sys.executable).with_name("saved_model_cli"), "run", "--tag_set", "serve"]
    command += ["--dir", exported / "run" / "saved_model", "--signature_def", "serving_default"]
    command += ["--input_exprs", f"lines={lines!r}", "--outdir", tmp_path]
    subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
    nats, tokens = score(lines)
    np.testing.assert_allclose(np.load(tmp_path / "nats.npy"), nats, rtol=1e-6)
    np.testing.assert_array_equal(np.load(tmp_path / "tokens.npy"), tokens)


def test_bytes_that_are_no_text_and_nul_score_as_unknown_words(score):
    odd = score([b"one \xff\xfe two", b"one a\x00b two", b"one\x00 two"])
    plain = score(["one zebra two", "one zebra two", "zebra two"])
    for found, wanted in zip(odd, plain, strict=True):
        np.testing.assert_allclose(found, wanted)


def test_bytes_that_are_no_utf8_are_unknown_words_and_zero_bytes_are_refused(exported, tmp_path, capfd):
    (tmp_path / "text").write_bytes(b"one \xff\xfe two\r\n\none two")
    assert trained.score(exported, f"--text={tmp_path}/text") == 0
    out = capfd.readouterr().out.splitlines()
    assert out[0].split()[1] == "3"
    assert out[-1].split()[1:] == ["20.00%", "of", "5", "words"]
    (tmp_path / "text").write_bytes(b"one\n\x00\x01\x02\n")
    assert trained.score(exported, f"--text={tmp_path}/text") == 1
    assert "zero bytes" in capfd.readouterr().err


def test_a_prompt_that_is_no_text_is_read_as_unknown_words(exported, capfd):
    from_the_shell = b"one \xff".decode("utf-8", errors="surrogateescape")
    assert trained.score(exported, "--generate=2", f"--prompt={from_the_shell}") == 0
    told = capfd.readouterr()
    assert told.out.startswith("one <unk> ")
    assert "note: the model reads these words as <unk>: '\ufffd'" in told.err


def test_step_and_cell_take_no_rows_at_all(loaded):
    units = loaded.signatures["step"].structured_input_signature[1]["state"].shape[1]
    empty = tf.zeros([0, units])
    after = loaded.signatures["step"](ids=tf.zeros([0], tf.int32), state=empty)
    assert after["log_probabilities"].shape[0] == after["state"].shape[0] == 0
    assert loaded.signatures["cell"](x=empty, h=empty)["h"].shape == (0, units)


@pytest.mark.parametrize("wrong", [-1, 7])
def test_ids_outside_the_vocabulary_are_refused(loaded, wrong):
    with pytest.raises(tf.errors.InvalidArgumentError, match="from 0 to 6"):
        loaded.signatures["step"](ids=tf.constant([0, wrong]), state=tf.zeros([2, 8]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="from 0 to 6"):
        loaded.signatures["decode"](ids=tf.constant([0, wrong]))


@pytest.fixture(scope="module")
def long_line():
    """Words, nats and tokens of a very long line, and the MB that it took; None where nobody can know."""
    words = [f"w{number}" for number in range(10_000)]
    model = LanguageModel(
        len(words) + 2, DerivedCell(trained.GENOTYPE, DerivedOptions(units=4)), ModelOptions()
    )
    model.initialise(tf.constant([1, 2]))
    vocabulary = Vocabulary((*words, "<unk>", "<eos>"))
    signatures = serving.ServedModel(model, vocabulary, RULES["text"].graph).signatures()
    signatures["score"](lines=tf.constant([" ".join(words[: 2 * serving.WINDOW])]))  # what any line needs
    line = " ".join(words[k * 7 % len(words)] for k in range(LONG))
    known = machine.reset_peak()
    before = machine.peak_mb()
    (nats,), (tokens,) = (signatures["score"](lines=tf.constant([line]))[name] for name in ("nats", "tokens"))
    after = machine.peak_mb()
    return len(words), float(nats), int(tokens), after - before if known else None


def test_a_very_long_line_has_its_score(long_line):
    words, nats, tokens, _ = long_line
    assert tokens == LONG
    assert nats / LONG == pytest.approx(np.log(words), rel=0.05)


def test_a_very_long_line_needs_no_memory_for_all_its_logits(long_line):
    words, _, _, taken = long_line
    if taken is None:
        pytest.skip("this system cannot forget a process's peak memory (Linux can)")
    assert taken < LONG * words * 4 / 1e6 / 4  # a quarter of 800 MB


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda folder: folder / "absent", "absent cannot be read: no such file or directory"),
        (lambda folder: folder, "it is a folder"),
        (
            lambda folder: (folder / "link").symlink_to("gone") or folder / "link",
            "a link to gone, which is not there",
        ),
        (lambda folder: (folder / "link").symlink_to("link") or folder / "link", "symbolic links"),
        (lambda folder: os.mkfifo(folder / "pipe") or folder / "pipe", "nobody writes to the pipe"),
        (lambda folder: folder / ("x" * 300), "file name too long"),
        (lambda folder: "~nobody-of-that-name/x", "no user '~nobody-of-that-name'"),
        (lambda folder: "/dev/null", "/dev/null is empty"),
        (lambda folder: "/dev/zero", "zero bytes"),
    ],
    ids=range(9),
)
def test_a_name_of_no_text_is_one_line(exported, tmp_path, capfd, monkeypatch, make, part):
    monkeypatch.setattr(unpacking, "PATIENCE", 0.1)
    for arguments in ([], ["--generate=2"]):
        assert (
            trained.score(
                exported, f"--text={make(tmp_path) if not arguments else again(tmp_path, make)}", *arguments
            )
            == 1
        )
        told = capfd.readouterr()
        assert part in told.err
        assert told.err.startswith("error: ")
        assert told.err.count("\n") == 1
        assert told.out == ""


def again(folder, make):
    """The same name in a folder that has nothing yet."""
    (folder / "again").mkdir()
    return make(folder / "again")


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda folder: (folder / "link").symlink_to("gone") or folder / "link", "link is a link to gone"),
        (lambda folder: folder / ("x" * 300), "file name too long"),
        (lambda folder: (folder / "file").write_text("") or folder / "file", "not a directory"),
    ],
    ids=range(3),
)
def test_a_name_of_no_model_is_one_line(tmp_path, make, part):
    with pytest.raises(UserError, match=part) as error:
        scoring.load(make(tmp_path))
    assert "\n" not in str(error.value)


def test_any_damage_to_a_model_is_one_line(exported, tmp_path):
    copy, generator = shutil.copytree(exported / "run" / "saved_model", tmp_path / "model"), random.Random(0)
    refused = 0
    for name in ("saved_model.pb", "variables/variables.index"):
        whole = (copy / name).read_bytes()
        for _ in range(5):
            (copy / name).write_bytes(whole[: generator.randrange(len(whole))])
            try:
                scoring.load(copy)
            except UserError as error:
                assert str(copy) in str(error)
                assert "\n" not in str(error)
                refused += 1
        (copy / name).write_bytes(whole)
    assert refused >= 9


GIN = {
    b"\xef\xbb\xbfA = 1\n": 1,
    b"\xef\xbb\xbfA = 1\r\n": 1,
    b"A = 1\rB = 2\r": 1,
    b"A = " + b"[" * 5000 + b"]" * 5000: "maximum recursion depth",
    b"A = {[]: 1}\n": "unhashable",
    b"A = 1\0\n": "has zero bytes",
    b"A = \xff\n": "can't decode byte 0xff",
    "A = 1".encode("utf-16"): "can't decode byte",
    b"A = '" + b"x" * 10**5 + b"\n": r"x\.\.\.",
    b"#" * (5 << 20): "more than 4,194,304 bytes",
    b"include '" + b"x" * 300 + b"'\n": "file name too long",
    b"include '~nobody-of-that-name/x.gin'\n": "no user",
}


@pytest.mark.parametrize("content", GIN, ids=range(len(GIN)))
def test_a_gin_file_of_odd_bytes_is_read_or_one_line(tmp_path, content):
    (tmp_path / "own.gin").write_bytes(content)
    wanted = GIN[content]
    if isinstance(wanted, int):
        assert gin_files.read([str(tmp_path / "own.gin")])[0].value == wanted
        return
    with pytest.raises(UserError, match=wanted) as error:
        gin_files.read([str(tmp_path / "own.gin")])
    assert len(str(error.value)) < 1500
