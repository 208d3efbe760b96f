import bz2
import gzip
import lzma
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.data import reader, unpacking
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.serving import saved_model, scoring
from bayesnas_tf.serving.tokenisation import RULES
from tests.support import trained


def test_a_file_scores_as_evaluate_does_whatever_the_chunks(exported, signatures, monkeypatch):
    summary = trained.summary(exported)
    whole = scoring.score_file(signatures, exported / "valid.txt")
    assert whole.tokens == summary["valid_tokens"]
    assert whole.nats == pytest.approx(summary["valid_nats"] * summary["valid_tokens"], rel=1e-5)
    assert (whole.lines, whole.unknown) == (22, 1)
    assert whole.words == len((exported / "valid.txt").read_text().split())
    monkeypatch.setattr(scoring, "CHUNK", 20)
    pieces = scoring.score_file(signatures, exported / "valid.txt")
    assert pieces[:4] == whole[:4]
    assert pieces.nats == pytest.approx(whole.nats, rel=1e-6)


def test_the_command_prints_the_result(exported, capfd):
    assert trained.score(exported, f"--text={exported}/valid.txt") == 0
    out = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["lines", "tokens", "nats", "perplexity", "unknown"]
    assert out[3].split()[1] == f"{trained.summary(exported)['valid_ppl']:,.2f}"


@pytest.mark.parametrize(
    ("content", "part"), [(None, "no such file"), (b"", "is empty"), (b"\n", "nothing to predict")]
)
def test_a_text_without_a_score_is_one_line(exported, tmp_path, capfd, content, part):
    if content is not None:
        (tmp_path / "text").write_bytes(content)
    assert trained.score(exported, f"--text={tmp_path}/text") == 1
    err = capfd.readouterr().err
    assert part in err
    assert err.count("\n") == 1


def test_what_is_no_model_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no SavedModel in"):
        scoring.load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot load"):
        scoring.load(tmp_path)
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(UserError, match="no signature 'score_next'"):
        scoring.load(tmp_path / "other")


def test_a_prompt_is_the_flag_or_the_last_line_of_the_text_or_nothing(exported, tmp_path, capfd):
    (tmp_path / "text").write_text("one two\nthree four\n\n")
    starts = {
        ("--prompt=five",): "five ",
        (f"--text={tmp_path}/text",): "three four ",
        (f"--text={tmp_path}/text", "--prompt=five"): "five ",
        (): "",
    }
    for arguments, start in starts.items():
        assert trained.score(exported, "--generate=3", *arguments) == 0
        out = capfd.readouterr().out
        assert out.startswith(start)
        assert out.count("\n") == 1
        assert out.strip() != start.strip()


def test_a_word_that_the_model_cannot_read_is_named_with_its_line(tmp_path):
    words = Vocabulary(("one", "two", "<eos>"))
    model = LanguageModel(3, DerivedCell(trained.GENOTYPE, DerivedOptions(units=4)), ModelOptions())
    saved_model.export(model, words, RULES["text"], {}, tmp_path / "model")
    signatures = (loaded := scoring.load(tmp_path / "model")).signatures
    text = tmp_path / "text"
    text.write_text("one one\none\n\none zebra\none yak\n")
    refused = r"cannot score .*text, line 4: the vocabulary has no <unk>, and the text has the word 'zebra'"
    with pytest.raises(UserError, match=refused):
        scoring.score_file(signatures, text)
    drawing = scoring.generation.Drawing(0.0, 0, 0)
    with pytest.raises(UserError, match=r"cannot continue the last line of .*text: .*zebra"):
        scoring.generate(signatures, "one zebra", 3, drawing, f"the last line of {text}")
    assert loaded is not None  # the signatures do not keep the weights alive


FORMS = {
    "xz": lzma.compress,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "crlf": lambda content: content.replace(b"\n", b"\r\n"),
    "cr": lambda content: content.replace(b"\n", b"\r"),
    "marked": lambda content: b"\xef\xbb\xbf" + content,
    "utf-16": lambda content: content.decode().encode("utf-16"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_text_scores_the_same_in_every_form(form, exported, signatures, tmp_path):
    path = exported / "valid.txt"
    (tmp_path / "text").write_bytes(FORMS[form](path.read_bytes()))
    assert scoring.score_file(signatures, tmp_path / "text") == scoring.score_file(signatures, path)


@pytest.mark.parametrize("long", [5, 12, 40])
@pytest.mark.parametrize("end", ["", "\n", "  \nfive\n\n"])
def test_a_line_in_pieces_scores_as_the_whole(long, end, signatures, tmp_path, monkeypatch):
    words = [(*trained.WORDS, "zebra")[k * k % 6] for k in range(70)]
    (tmp_path / "text").write_text("two one\n" + " ".join(words[:3]) + " " * 30 + "  ".join(words) + end)
    whole = scoring.score_file(signatures, tmp_path / "text")
    monkeypatch.setattr(reader, "LONG", long)
    monkeypatch.setattr(unpacking, "BLOCK", 16)
    pieces = scoring.score_file(signatures, tmp_path / "text")
    assert pieces[:4] == whole[:4]
    assert pieces.nats == pytest.approx(whole.nats, rel=1e-5)


def test_a_first_line_in_pieces_has_no_token_before_it(signatures, tmp_path, monkeypatch):
    (tmp_path / "text").write_text(" " * 20 + "one two three four five one two")
    whole = scoring.score_file(signatures, tmp_path / "text")
    monkeypatch.setattr(reader, "LONG", 6)
    monkeypatch.setattr(unpacking, "BLOCK", 4)
    assert scoring.score_file(signatures, tmp_path / "text")[:4] == whole[:4] == (1, 7, 0, 7)
    assert scoring.score_file(signatures, tmp_path / "text").nats == pytest.approx(whole.nats, rel=1e-5)
    assert scoring.last_line(tmp_path / "text").split() == [*trained.WORDS, "one", "two"]


def test_words_that_are_several_tokens_may_end_a_piece(tmp_path, monkeypatch):
    words = Vocabulary(("the", "debt", ".", "N", "'s", "<unk>", "<eos>"))
    model = LanguageModel(7, DerivedCell(trained.GENOTYPE, DerivedOptions(units=4)), ModelOptions())
    model.initialise(tf.constant([1, 2]))
    saved_model.export(model, words, RULES["sotu"], {}, tmp_path / "model")
    signatures = (loaded := scoring.load(tmp_path / "model")).signatures
    (tmp_path / "text").write_text("The debt's 1,234.5... \u201cdebt\u201d: 27th; x1y2z3 " * 9)
    whole = scoring.score_file(signatures, tmp_path / "text")
    monkeypatch.setattr(reader, "LONG", 18)
    monkeypatch.setattr(unpacking, "BLOCK", 8)
    pieces = scoring.score_file(signatures, tmp_path / "text")
    assert pieces[:4] == whole[:4]
    assert pieces.nats == pytest.approx(whole.nats, rel=1e-5)
    assert loaded is not None


def test_a_model_of_nan_has_no_perplexity(tmp_path):
    words = Vocabulary((*trained.WORDS, "<unk>", "<eos>"))
    model = LanguageModel(7, DerivedCell(trained.GENOTYPE, DerivedOptions(units=4)), ModelOptions())
    model.initialise(tf.constant([1, 2]))
    saved_model.export(model, words, RULES["text"], {}, tmp_path / "model")
    loaded = scoring.load(tmp_path / "model")
    for weight in loaded.weights:
        weight.assign(np.full(weight.shape, np.nan))
    (tmp_path / "text").write_text("one two\n")
    with pytest.raises(UserError, match="is NaN"):
        scoring.score_file(loaded.signatures, tmp_path / "text")
    with pytest.raises(UserError, match="all probabilities of the model are NaN"):
        scoring.generate(loaded.signatures, "one", 3, scoring.generation.Drawing(0.0, 0, 0))


def command(exported, *arguments, shell="{}", **rest):
    """What the command in a process of its own gives; its place in a line of the shell is `{}`."""
    flags = " ".join([f"--model={exported}/run/saved_model", *arguments])
    line = shell.format(f"{sys.executable} -m bayesnas_tf.score {flags}")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, cwd=os.getcwd(), **rest
    )


@pytest.mark.slow  # a process each
def test_pipes_score_as_files_do(exported, signatures, tmp_path):
    text = exported / "valid.txt"
    wanted = scoring.describe(scoring.score_file(signatures, text)) + "\n"
    (tmp_path / "text.xz").write_bytes(lzma.compress(text.read_bytes()))
    for argument, shell in (
        ("--text=/dev/stdin", f"cat {text} | {{}}"),
        ("--text=/dev/stdin", f"{{}} < {text}"),
        (f"--text=<(sleep 1; cat {tmp_path}/text.xz)", "{}"),
    ):
        done = command(exported, argument.replace("--text=<", "--text <"), shell=shell)
        assert (done.stdout.decode(), done.returncode) == (wanted, 0), done.stderr


@pytest.mark.slow
def test_what_the_terminal_cannot_hold_is_replaced_and_a_reader_that_has_left_is_no_error(exported):
    arguments = ("--generate=5", "--prompt='one \u6771'")
    done = command(exported, *arguments, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"one <unk> ")
    done = command(exported, *arguments, shell="{} | true")
    assert done.returncode == 0, done.stderr
    assert b"Error" not in done.stderr
    done = command(exported, *arguments, shell="{} > /dev/full")
    assert done.returncode == 1
    assert b"no space left on device" in done.stderr.splitlines()[-1]
