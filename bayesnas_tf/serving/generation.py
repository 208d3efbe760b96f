"""What a SavedModel writes: words drawn one after the other, behind a prompt."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bayesnas_tf.data.vocabulary import EOS, UNK
from bayesnas_tf.errors import UserError

COLDEST = 1e-30  # below it float64 has no quotients left


class Drawing(NamedTuple):
    """How words are drawn; the same gives the same sentence."""

    temperature: float  # divides the log-probabilities; 0 (below COLDEST): the likeliest word
    top_k: int  # only the likeliest so many words; 0: all
    seed: int


def unknown_words(signatures, prompt: str) -> list[str]:
    """Words of a prompt that the model does not have, each once, as they stand there."""
    found = signatures["score_next"](lines=tf.constant(prompt.split() or [""]), **start_of_text(signatures))[
        "unknown"
    ]
    words = [word for word, unknown in zip(prompt.split(), found, strict=False) if int(unknown)]
    return list(dict.fromkeys(word for word in words if word != UNK))


def start_of_text(signatures) -> dict[str, tf.Tensor]:
    """State and previous token before the first line."""
    units = signatures["score_next"].structured_input_signature[1]["state"].shape[1]
    return {"state": tf.zeros([1, units]), "previous": tf.constant([-1])}


def continued(signatures, prompt: bytes, count: int, drawing: Drawing) -> list[str]:
    """The words of a prompt, and up to `count` that the model draws after them, to the end of the sentence.

    The text begins behind an `<eos>`. Words are drawn without `<unk>`; the first one that follows the prompt
    is no `<eos>`.

    Raises:
      UserError: the vocabulary has no other words, or the model computes no probabilities.
    """
    encode, decode, step = (signatures[name] for name in ("encode", "decode", "step"))
    given = encode(lines=tf.constant([prompt]))["ids"]
    end, unknown = given[-1:], word_id(signatures, UNK)
    if vocabulary_size(signatures) <= len(unknown) + 1:
        raise UserError(
            f"the model has no word to write: its vocabulary has only {UNK} and {EOS}. "
            "Train one with a larger CorpusOptions.vocabulary_size"
        )
    state = start_of_text(signatures)["state"]
    for token in tf.concat([end, given[:-1]], axis=0):
        result = step(ids=token[tf.newaxis], state=state)
        state = result["state"]
    drawn: list[tf.Tensor] = []
    for number in range(count):
        if np.isnan(result["log_probabilities"]).any():
            raise UserError("all probabilities of the model are NaN. Train it again, and export the new run")
        barred = [unknown, *([end] if number == 0 else [])]
        token = sample(result["log_probabilities"], barred, drawing, number)
        if int(token[0]) == int(end[0]):
            break
        drawn.append(token)
        result = step(ids=token, state=state)
        state = result["state"]
    words = decode(ids=tf.concat([given[:-1], *drawn], axis=0))["words"]
    return [word.decode("utf-8", errors="replace") for word in words.numpy()]


def word_id(signatures, word: str) -> tf.Tensor:
    """The id of a special token, int32 [1], or [0] where the vocabulary lacks it."""
    words = signatures["decode"](ids=tf.range(vocabulary_size(signatures)))["words"]
    return tf.cast(tf.where(words == word)[:1, 0], tf.int32)


def vocabulary_size(signatures) -> int:
    """V."""
    return signatures["step"].structured_outputs["log_probabilities"].shape[1]


def sample(log_probabilities, barred: list, drawing: Drawing, number: int):
    """The `number`-th token, int32 [1], drawn from log-probabilities [1, V] without the barred ids."""
    ids = tf.concat(barred, axis=0)
    logits = tf.cast(log_probabilities[0], tf.float64)
    never = tf.fill([tf.size(ids)], tf.constant(-math.inf, logits.dtype))
    logits = tf.tensor_scatter_nd_update(logits, ids[:, tf.newaxis], never)
    if drawing.temperature < COLDEST:
        return tf.argmax(logits, output_type=tf.int32)[tf.newaxis]
    likeliest = tf.math.top_k(logits, min(drawing.top_k or len(logits), len(logits)))
    # the largest becomes 0, which no temperature turns into an infinity
    scaled = (likeliest.values - likeliest.values[0])[tf.newaxis] / drawing.temperature
    place = tf.random.stateless_categorical(scaled, 1, [drawing.seed, number], dtype=tf.int32)[0]
    return tf.gather(likeliest.indices, place)
