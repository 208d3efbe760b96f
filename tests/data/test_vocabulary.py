"""Vocabularies: numbering, cutting, unknown tokens."""

import numpy as np
import pytest

from bayesnas_tf.data.vocabulary import EOS, UNK, Vocabulary

TOKENS = ["b", "a", "b", "c", EOS, "a", "b", EOS]


def test_without_a_limit_ids_follow_first_appearance():
    vocabulary = Vocabulary.build(TOKENS)
    assert vocabulary.tokens == ("b", "a", "c", EOS)
    np.testing.assert_array_equal(vocabulary.ids(TOKENS), [0, 1, 0, 2, 3, 1, 0, 3])
    assert vocabulary.ids(TOKENS).dtype == np.int32
    assert vocabulary.unk_id is None
    assert vocabulary.eos_id == 3
    assert len(vocabulary) == 4


def test_a_limit_keeps_the_most_frequent_and_both_special_tokens():
    vocabulary = Vocabulary.build(TOKENS, max_size=4)
    assert vocabulary.tokens == ("b", "a", EOS, UNK)
    np.testing.assert_array_equal(vocabulary.ids(["c", "never seen", "b"]), [3, 3, 0])


def test_a_limit_above_the_number_of_tokens_keeps_all_and_adds_unk():
    assert set(Vocabulary.build(TOKENS, max_size=100).tokens) == {"a", "b", "c", EOS, UNK}


def test_an_unknown_token_without_unk_is_named():
    with pytest.raises(ValueError, match="'z' is not in the vocabulary"):
        Vocabulary.build(TOKENS).ids(["z"])


def test_impossible_vocabularies_are_refused():
    with pytest.raises(ValueError, match="'a' occurs twice"):
        Vocabulary(("b", "a", "a"))
    with pytest.raises(ValueError, match="no room"):
        Vocabulary.build(["a"], max_size=1)


def test_equal_tokens_make_equal_vocabularies():
    assert Vocabulary(("a", UNK)) == Vocabulary(("a", UNK))
    assert hash(Vocabulary(("a", UNK))) == hash(Vocabulary(("a", UNK)))
