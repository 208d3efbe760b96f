"""The functions of a SavedModel: a trained language model together with its vocabulary and tokenisation.

A text is a list of lines and one stream of tokens, `<eos>` after each line. The state is zero before the
first token, which is read and not predicted; every other token is predicted once, from all before it. So
the nats of all lines of a validation file add up to what `evaluate` finds with one row.
"""

import tensorflow as tf

from bayesnas_tf.data.vocabulary import EOS, UNK, Vocabulary
from bayesnas_tf.models.language_model import LanguageModel

WINDOW = 128  # tokens whose logits are in memory at once; the result does not depend on it
NOTHING = -1  # in place of the token before a text
BUCKETS = 2**63 - 1  # of the words' hashes


class ServedModel(tf.Module):
    """Weights, vocabulary and the functions that become signatures; no Keras object is part of it."""

    def __init__(self, model: LanguageModel, vocabulary: Vocabulary, tokenise):
        """`tokenise` turns string [N] into a ragged string [N, tokens].

        Raises:
          ValueError: the vocabulary has no `<eos>`.
        """
        super().__init__()
        if vocabulary.eos_id is None:
            raise ValueError(f"the vocabulary has no {EOS}, the token that ends each line")
        self.weights = [variable.value for variable in model.variables]
        self.words = tf.constant(vocabulary.tokens)
        self.unknown = NOTHING if vocabulary.unk_id is None else vocabulary.unk_id
        hashed = tf.strings.to_hash_bucket_fast(self.words, BUCKETS)
        order = tf.argsort(hashed)
        self.hashes, self.ids_by_hash = tf.gather(hashed, order), tf.cast(order, tf.int32)
        if len(set(self.hashes.numpy().tolist())) < len(vocabulary):
            raise ValueError("two words of the vocabulary have the same hash. Rename one of them")
        self._functions = _Functions(model, self, tokenise)

    def lookup(self, words):
        """Ids of words, int32, and `unknown` for others.

        By sorted hashes and a comparison of the words themselves: a table would be part of every signature,
        also of those without words, and formats such as TFLite have none.
        """
        place = tf.searchsorted(self.hashes, tf.strings.to_hash_bucket_fast(words, BUCKETS))
        ids = tf.gather(self.ids_by_hash, tf.minimum(place, len(self.hashes) - 1))
        return tf.where(tf.gather(self.words, ids) == words, ids, self.unknown)

    def signatures(self) -> dict:
        """Name -> concrete function, as `tf.saved_model.save` takes them."""
        functions, dtype = self._functions, self._functions.dtype
        lines = tf.TensorSpec([None], tf.string, "lines")
        ids = tf.TensorSpec([None], tf.int32, "ids")
        one = tf.TensorSpec([1], tf.int32, "previous")
        state = lambda rows, name: tf.TensorSpec([rows, functions.state_size], dtype, name)  # noqa: E731
        score = _signature(functions.score, lines)
        found = {
            "serving_default": score,
            "score": score,
            "score_next": _signature(functions.score_next, lines, state(1, "state"), one),
            "step": _signature(functions.step, ids, state(None, "state")),
            "encode": _signature(functions.encode, lines),
            "decode": _signature(functions.decode, ids),
        }
        cell = functions.model.cell
        if cell.program is not None:
            names = ("x", *cell.program.state)
            specs = [tf.TensorSpec([None, cell.units], dtype, name) for name in names]
            found["cell"] = _signature(functions.cell, *specs)
        return found


def _signature(function, *specs):
    return tf.function(function, autograph=False).get_concrete_function(*specs)


class _Functions:
    """What the signatures compute."""

    def __init__(self, model, served, tokenise):
        self.model, self.served, self.tokenise = model, served, tokenise
        self.state_size, self.dtype = model.cell.state_width, model.embedding.dtype

    def ids(self, lines):
        """Ids of all lines, int32 [N, tokens] with `<eos>` at each end.

        A word that the vocabulary lacks is `<unk>`; without `<unk>` it is an error that names it.
        """
        end = tf.fill([tf.size(lines), 1], EOS)
        tokens = tf.concat([self.tokenise(lines), end], axis=1)
        ids = self.served.lookup(tokens.flat_values)
        if self.served.unknown == NOTHING:
            lacking = tf.boolean_mask(tokens.flat_values, ids == NOTHING)[:1]
            known = tf.debugging.Assert(
                tf.size(lacking) == 0, [f"the vocabulary has no {UNK}, and the text has the word", lacking]
            )
            with tf.control_dependencies([known]):
                ids = tf.identity(ids)
        return tokens.with_flat_values(ids)

    def checked(self, ids):
        """`ids`, if all lie in the vocabulary: some devices would read zeros for others."""
        size = len(self.served.words)
        inside = tf.reduce_all((ids >= 0) & (ids < size))
        told = [f"ids must be from 0 to {size - 1}, and these are not", ids]
        with tf.control_dependencies([tf.debugging.Assert(inside, told)]):
            return tf.identity(ids)

    def score(self, lines):
        """Nats, float64 [N], and predicted tokens, int32 [N], of the lines of one text."""
        state = tf.zeros([1, self.state_size], self.dtype)
        result = self.score_next(lines, state, tf.constant([NOTHING]))
        return {name: result[name] for name in ("nats", "tokens")}

    def score_next(self, lines, state, previous):
        """`score` of lines that go on from a state [1, S] and the token before them, int32 [1], -1 for none.

        Also per line the number of words that are `<unk>`, int32 [N], and state and token after the text.
        """
        ids = self.ids(lines)
        count = tf.size(lines)
        context = self.checked(tf.boolean_mask(previous, previous >= 0))
        stream = tf.concat([context, ids.flat_values], axis=0)
        line_of = tf.concat([tf.zeros_like(context), tf.cast(ids.value_rowids(), tf.int32)], axis=0)[1:]
        nats, state = self._stream_nats(stream, line_of, count, state)
        unknown = tf.cast(ids.flat_values == self.served.unknown, tf.int32)
        return {
            "nats": nats,
            "tokens": tf.math.unsorted_segment_sum(tf.ones_like(line_of), line_of, count),
            "unknown": tf.math.unsorted_segment_sum(unknown, tf.cast(ids.value_rowids(), tf.int32), count),
            "state": state,
            "previous": tf.concat([previous, stream], axis=0)[-1:],
        }

    def _stream_nats(self, stream, line_of, count, state):
        """Nats of all tokens but the first by their line, float64 [count], and the state before the last."""
        steps = tf.maximum(tf.size(stream) - 1, 0)

        def body(begin, nats, state):
            end = tf.minimum(begin + WINDOW, steps)
            x, y = stream[tf.newaxis, begin:end], stream[tf.newaxis, begin + 1 : end + 1]
            hidden, state = self.model.window(x, state, end - begin)
            of_tokens = tf.cast(self.model.token_nats(hidden, y)[0], tf.float64)
            nats += tf.math.unsorted_segment_sum(of_tokens, line_of[begin:end], count)
            return end, nats, tf.ensure_shape(state, [1, self.state_size])

        start = (tf.constant(0), tf.zeros([count], tf.float64), state)
        shapes = (tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([1, self.state_size]))
        _, nats, state = tf.while_loop(lambda begin, *_: begin < steps, body, start, shape_invariants=shapes)
        return nats, state

    def step(self, ids, state):
        """Log-probabilities [B, V] of the token after ids [B], each in 0..V-1, and the new state [B, S]."""
        hidden, state = self.model.window(self.checked(ids)[:, tf.newaxis], state, 1)
        # without the rows for words that no vocabulary has, see `evaluate.spare_words`
        words = self.model.log_probabilities(hidden)[:, 0, : len(self.served.words)]
        return {"log_probabilities": words, "state": state}

    def cell(self, x, *states):
        """The learned cell alone: all states, and the output where it is none, from x_t and states.

        All are [B, U]; most cells have one state, `h`.
        """
        reading = self.model.read()
        ends = reading.step(reading.project_inputs(x), *states)
        return dict(zip(reading.program.ends, ends, strict=True))

    def encode(self, lines):
        """Ids of all lines one after the other, each with `<eos>` at its end, and how many each line has."""
        ids = self.ids(lines)
        return {"ids": ids.flat_values, "lengths": tf.cast(ids.row_lengths(), tf.int32)}

    def decode(self, ids):
        """The words of ids."""
        return {"words": tf.gather(self.served.words, self.checked(ids))}
