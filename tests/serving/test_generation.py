import collections

import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.serving import saved_model
from bayesnas_tf.serving.generation import Drawing, continued, sample, unknown_words
from bayesnas_tf.serving.tokenisation import RULES
from tests.support import trained

PLAIN = Drawing(1.0, 0, 0)
LOG = tf.math.log([[0.4, 0.3, 0.2, 0.1]])


def drawn(drawing, barred=(), count=2000):
    ids = tf.constant(list(barred), tf.int32)
    draw = tf.function(lambda number: sample(LOG, [ids], drawing, number)[0])
    return collections.Counter(int(draw(number)) for number in tf.range(count))


def assert_shares(counts, shares, count=2000):
    assert set(counts) == set(shares)
    for token, share in shares.items():
        assert counts[token] / count == pytest.approx(share, abs=5 * (share * (1 - share) / count) ** 0.5)


def test_a_continuation_is_a_sentence_of_known_words_and_repeats_with_its_seed(signatures):
    write = lambda seed: continued(signatures, b"one zebra", 12, Drawing(1.0, 0, seed))  # noqa: E731
    sentences = {seed: write(seed) for seed in range(6)}
    for seed, words in sentences.items():
        assert words[:2] == ["one", "<unk>"]
        assert 3 <= len(words) <= 14
        assert set(words[2:]) <= set(trained.WORDS)
        assert write(seed) == words
    assert len({" ".join(words) for words in sentences.values()}) > 1


def test_drawn_words_follow_the_log_probabilities():
    assert_shares(drawn(PLAIN), {0: 0.4, 1: 0.3, 2: 0.2, 3: 0.1})
    assert_shares(drawn(PLAIN, barred=[1]), {0: 4 / 7, 2: 2 / 7, 3: 1 / 7})


def test_a_low_temperature_sharpens_and_zero_takes_the_likeliest():
    squares = {0: 16 / 30, 1: 9 / 30, 2: 4 / 30, 3: 1 / 30}
    assert_shares(drawn(Drawing(0.5, 0, 0)), squares)
    assert drawn(Drawing(0.0, 0, 0), count=20) == {0: 20}
    assert drawn(Drawing(0.0, 3, 0), barred=[0], count=20) == {1: 20}


def test_no_temperature_draws_what_is_barred_or_nothing():
    rest = {1: 1 / 3, 2: 1 / 3, 3: 1 / 3}
    assert_shares(drawn(Drawing(1e300, 0, 0), barred=[0]), rest)
    for temperature in (1e-29, 1e-31, 5e-324):
        assert drawn(Drawing(temperature, 0, 0), barred=[0], count=20) == {1: 20}


def test_top_k_leaves_the_likeliest_words_that_are_not_barred():
    assert_shares(drawn(Drawing(1.0, 2, 0)), {0: 4 / 7, 1: 3 / 7})
    assert_shares(drawn(Drawing(1.0, 2, 0), barred=[0]), {1: 3 / 5, 2: 2 / 5})
    assert_shares(drawn(Drawing(1.0, 99, 0)), {0: 0.4, 1: 0.3, 2: 0.2, 3: 0.1})


def test_unknown_words_are_named_once_in_their_order(signatures):
    assert unknown_words(signatures, "zebra one yak zebra <unk> two") == ["zebra", "yak"]
    assert unknown_words(signatures, "one two") == unknown_words(signatures, "") == []


def test_the_command_tells_of_unknown_words_and_takes_the_flags(exported, capfd):
    arguments = ["--generate=5", "--prompt=one zebra", "--temperature=0", "--top_k=2"]
    assert trained.score(exported, *arguments) == 0
    first = capfd.readouterr()
    assert "note: the model reads these words as <unk>: 'zebra'" in first.err
    assert trained.score(exported, *arguments, "--seed=9") == 0
    assert capfd.readouterr().out == first.out  # the likeliest words need no seed


@pytest.mark.parametrize(
    "flag", ["--temperature=-1", "--top_k=-1", "--temperature=hot", "--temperature=nan", "--temperature=inf"]
)
def test_flags_without_meaning_are_usage_errors(exported, capfd, flag):
    assert trained.score(exported, "--generate=2", flag) == 2
    assert flag.split("=")[0].lstrip("-") in capfd.readouterr().err


def test_a_vocabulary_without_words_to_write_is_one_line(tmp_path):
    model = LanguageModel(2, DerivedCell(trained.GENOTYPE, DerivedOptions(units=4)), ModelOptions())
    model.initialise(tf.constant([1, 2]))
    saved_model.export(model, Vocabulary(("<unk>", "<eos>")), RULES["text"], {}, tmp_path / "model")
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    with pytest.raises(UserError, match="no word to write: its vocabulary has only <unk> and <eos>. Train"):
        continued(loaded.signatures, b"one", 3, PLAIN)
