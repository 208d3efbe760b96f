import json
import random
import shutil
import subprocess
import sys
import typing
import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.data import corpora, sotu
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.serving import saved_model
from bayesnas_tf.serving import signatures as serving
from bayesnas_tf.serving.tokenisation import RULES
from tests.support import trained

ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "bayesnas_tf":
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
import tensorflow as tf

loaded = tf.saved_model.load(sys.argv[1])
result = loaded.signatures["serving_default"](tf.constant(["one two three", "", "six"]))
print(sorted(loaded.signatures), float(tf.reduce_sum(result["nats"])), result["tokens"].numpy().tolist())
"""

NASTY = (
    "",
    "   ",
    "one",
    "  one\ttwo\r",
    "one\u00a0two\u2003three\u3000four\u2028five\x1csix\x85",
    "naïve café – 東京 ½ x² ①",
    "\ufeffone",
    "a\x00b",
    "bad \xff\xfe bytes".encode("latin1"),
)
ENGLISH = (
    "Mr. Speaker, the People's House — it's 1,234.5 times bigger -- isn't it?",
    "In 1862... on the 4th of July, at 10:30, 50% of $3.50 (or £2½) was paid.",
    "’Tis the rest of 'the ÉLITE' _underscored_ Straße İstanbul ΑΣ 2nd 2ndly 3rd5 5th.",
    "<unk> <eos> N n",
    "\u201cYes,\u201d he said: \u2018it\u2019s so\u2019, 1.5é 5thé 3٣x ٣.٣ 2\u00bd",
)
# Letters that the ICU of TensorFlow and Python do not know alike: those of Unicode 14 and later.
NEW = range(0x10570, 0x107C0), range(0x2C2F, 0x2C60), range(0xA7C0, 0xA7F5), range(0x1DF00, 0x20000)
KNOWN = [
    character
    for character in map(chr, range(1, sys.maxunicode + 1))
    if unicodedata.category(character) not in ("Cn", "Co", "Cs")
    and not any(ord(character) in block for block in NEW)
]


def fresh_model(units=4, vocabulary=7):
    cell = DerivedCell(trained.GENOTYPE, DerivedOptions(units=units, init_range=1.0))
    model = LanguageModel(vocabulary, cell, ModelOptions(embedding_range=1.0))
    model.initialise(tf.constant([1, 2]))
    return model


def served(vocabulary, rule="text"):
    """The signatures of an untrained model, as concrete functions."""
    return serving.ServedModel(
        fresh_model(vocabulary=len(vocabulary)), vocabulary, RULES[rule].graph
    ).signatures()


def test_the_nats_of_all_lines_are_those_that_evaluate_found(exported, score):
    summary = trained.summary(exported)
    nats, tokens = score((exported / "valid.txt").read_text().removesuffix("\n").split("\n"))
    assert tokens.sum() == summary["valid_tokens"]
    assert nats.sum() == pytest.approx(summary["valid_nats"] * summary["valid_tokens"], rel=1e-5)


def test_each_line_ends_with_eos_and_the_first_token_is_only_read(score):
    nats, tokens = score(["one two three", "", "two"])
    assert tokens.tolist() == [3, 1, 2]
    assert (nats > 0).all()


@pytest.mark.parametrize(("lines", "tokens"), [([], []), ([""], [0]), (["", ""], [0, 1]), (["one"], [1])])
def test_short_texts_have_a_defined_score(score, lines, tokens):
    nats, counted = score(lines)
    assert counted.tolist() == tokens
    assert nats.shape == (len(lines),)
    assert np.isfinite(nats).all()


def test_the_state_is_carried_over_lines(score):
    together, _ = score(["one two", "three four"])
    apart, _ = score(["three four"])
    assert together[0] == pytest.approx(score(["one two"])[0][0])
    assert together[1] != pytest.approx(apart[0])


def test_a_line_longer_than_a_window_is_scored_as_one(loaded, score):
    words = [trained.WORDS[k % 5] for k in range(2 * serving.WINDOW + 7)]
    (nats,), (tokens,) = score([" ".join(words)])
    assert tokens == len(words)
    step, state, total = loaded.signatures["step"], tf.zeros([1, 8]), 0.0
    ids = loaded.signatures["encode"](lines=tf.constant([" ".join(words)]))["ids"]
    for t in range(len(words)):
        result = step(ids=ids[t : t + 1], state=state)
        state, total = result["state"], total - float(result["log_probabilities"][0, int(ids[t + 1])])
    assert nats == pytest.approx(total, rel=1e-5)


def test_unknown_words_are_unk_and_are_counted(loaded, score):
    np.testing.assert_array_equal(score(["one zebra two"])[0], score(["one <unk> two"])[0])
    result = loaded.signatures["score_next"](
        lines=tf.constant(["zebra one", "two", "elk gnu"]), state=tf.zeros([1, 8]), previous=tf.constant([-1])
    )
    assert result["unknown"].numpy().tolist() == [1, 0, 2]


def test_a_text_in_pieces_scores_as_the_whole(loaded, score):
    lines = ["one two", "", "three zebra five", "one", "two three"]
    nats, tokens = score(lines)
    carried = {"state": tf.zeros([1, 8]), "previous": tf.constant([-1])}
    pieces = []
    for piece in (lines[:1], lines[1:2], [], lines[2:]):
        result = loaded.signatures["score_next"](lines=tf.constant(piece, tf.string), **carried)
        carried = {name: result[name] for name in carried}
        pieces.append((result["nats"].numpy(), result["tokens"].numpy()))
    np.testing.assert_allclose(np.concatenate([piece[0] for piece in pieces]), nats, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([piece[1] for piece in pieces]), tokens)


def test_without_unk_an_unknown_word_is_an_error_that_names_it():
    signatures = served(Vocabulary(("one", "two", "<eos>")))
    assert np.isfinite(signatures["score"](tf.constant(["one two"]))["nats"].numpy()).all()
    with pytest.raises(tf.errors.InvalidArgumentError, match="zebra"):
        signatures["score"](tf.constant(["one zebra"]))


def test_without_eos_there_is_no_text_to_score():
    with pytest.raises(ValueError, match="no <eos>"):
        served(Vocabulary(("one", "<unk>")))


def test_step_and_cell_take_any_batch_and_agree(loaded):
    random = np.random.default_rng(0)
    h = tf.constant(random.normal(size=(3, 8)), tf.float32)
    result = loaded.signatures["step"](ids=tf.constant([0, 2, 4]), state=h)
    probabilities = tf.reduce_sum(tf.exp(result["log_probabilities"]), axis=1)
    np.testing.assert_allclose(probabilities, np.ones(3), rtol=1e-5)
    x = tf.constant(random.normal(size=(3, 8)), tf.float32)
    assert loaded.signatures["cell"](x=x, h=h)["h"].shape == (3, 8)
    words = loaded.signatures["decode"](ids=tf.constant([0, 2]))["words"]
    again = loaded.signatures["encode"](lines=tf.strings.reduce_join(words, separator=" ")[tf.newaxis])
    assert again["ids"].numpy()[:2].tolist() == [0, 2]


def test_it_loads_where_this_package_cannot_be_imported(exported, score, tmp_path):
    command = [sys.executable, "-c", ALONE, str(exported / "run" / "saved_model")]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "'cell', 'decode', 'encode', 'score', 'score_next', 'serving_default', 'step'" in out
    nats, tokens = score(["one two three", "", "six"])
    assert out.split("]")[1].split()[0][:6] == str(float(nats.sum()))[:6]
    assert str(tokens.tolist()) in out


def test_the_notes_beside_the_graph_say_how_a_line_is_cut(exported):
    about = json.loads((exported / "run" / "saved_model" / saved_model.ABOUT).read_text())
    assert about["genotype"] == trained.GENOTYPE.to_dict()
    assert about["tokenisation"] == RULES["text"].note


def test_every_corpus_has_a_rule():
    assert set(RULES) == set(typing.get_args(corpora.Name))


def as_python(line):
    return line.decode("utf-8", errors="replace") if isinstance(line, bytes) else line


@pytest.mark.parametrize("name", RULES)
def test_the_graph_cuts_lines_as_python_does(name):
    lines = [*NASTY, *ENGLISH]
    tokens = RULES[name].graph(tf.constant(lines)).to_list()
    for line, found in zip(lines, tokens, strict=True):
        wanted = RULES[name].python(as_python(line))
        assert [token.decode() for token in found] == wanted, line


def assert_cut_alike(name, lines):
    tokens = RULES[name].graph(tf.constant(lines)).to_list()
    for line, found in zip(lines, tokens, strict=True):
        assert [token.decode() for token in found] == RULES[name].python(line), line


@pytest.mark.parametrize("name", ["text", "sotu"])
def test_every_character_is_cut_alike_wherever_it_stands(name):
    few = KNOWN[:3000] + KNOWN[3000::7]  # most of the others are Chinese
    assert_cut_alike(name, [f"a{c}b 5{c} {c}5 5th{c}x 1.5{c}2 '{c}' -{c}- .{c}. 2nd{c}" for c in few])


@pytest.mark.parametrize("name", ["text", "sotu"])
@pytest.mark.parametrize("seed", range(3))
def test_random_lines_are_cut_alike(name, seed):
    generator = random.Random(seed)
    usual = [
        *"aZqQ59'.,:-\"stndrhSTNDRH _$()",
        *"\u2018\u2019\u201c\u201déÉßΣάİ٣½²①\u0301\ufeff\u00a0\u2028\x85\x1c—東\0𝟝ⅧªŉÕ⁄•",
    ]
    draw = lambda: generator.choice(usual if generator.random() < 0.95 else KNOWN)  # noqa: E731
    assert_cut_alike(name, ["".join(draw() for _ in range(generator.randrange(30))) for _ in range(5000)])


def test_the_graph_cuts_sentences_of_the_corpus_as_they_were_cut():
    speech = next(sotu._folder().glob("2*.txt")).read_text(encoding="utf-8")
    paragraphs = [line for line in speech.splitlines() if line.strip()]
    tokens = RULES["sotu"].graph(tf.constant(paragraphs)).to_list()
    assert [[token.decode() for token in line] for line in tokens] == [
        " ".join(sotu.sentences(paragraph)).split() for paragraph in paragraphs
    ]


def test_bytes_that_are_no_text_make_no_other_tokens_more():
    (found,) = RULES["text"].graph(tf.constant([b"one \xe2\x28 two"])).to_list()
    assert len(found) == 3


def test_export_again_replaces_and_other_files_are_left_alone(exported, tmp_path, capfd):
    assert trained.export(exported, f"--out={tmp_path}/model") == 0
    assert trained.export(exported, f"--out={tmp_path}/model") == 1
    assert "--overwrite" in capfd.readouterr().err
    assert trained.export(exported, f"--out={tmp_path}/model", "--overwrite") == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    capfd.readouterr()
    assert trained.export(exported, f"--out={tmp_path}/other") == 1
    assert "holds files that are not of a SavedModel" in capfd.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "other"]


def test_a_dry_run_writes_nothing(exported, tmp_path, capfd):
    assert trained.export(exported, f"--out={tmp_path}/model", "--dry_run") == 0
    assert "would write small" in capfd.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_run_without_trained_weights_is_refused(exported, tmp_path, capfd):
    shutil.copytree(
        exported / "run", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "saved_model")
    )
    assert trained.export(tmp_path) == 1
    assert "no trained weights" in capfd.readouterr().err
    (tmp_path / "run" / "vocabulary.txt").unlink()
    assert trained.export(tmp_path) == 1
    assert "vocabulary.txt: it is missing. Restore it; the `evaluate` command" in capfd.readouterr().err


def test_a_model_that_computes_something_else_is_never_put_in_place(tmp_path):
    vocabulary = Vocabulary((*trained.WORDS, "<unk>", "<eos>"))
    model, other = fresh_model(), fresh_model()
    other.cell.recurrent_kernel.assign(other.cell.recurrent_kernel + 1.0)
    saved_model.export(model, vocabulary, RULES["text"], {}, tmp_path / "model")
    with pytest.raises(UserError, match="differs from that of the trained model"):
        saved_model.compare(tf.saved_model.load(str(tmp_path / "model")), other, vocabulary, RULES["text"])
