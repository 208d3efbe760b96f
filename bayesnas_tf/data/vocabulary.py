"""Tokens and their ids."""

import collections
import dataclasses
import functools
from collections.abc import Iterable, Mapping

import numpy as np

EOS = "<eos>"
UNK = "<unk>"


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The tokens of a corpus; the id of a token is its place in `tokens`."""

    tokens: tuple[str, ...]

    def __post_init__(self):
        """Check once that no token occurs twice."""
        if len(self._id_of) != len(self.tokens):
            twice, _ = collections.Counter(self.tokens).most_common(1)[0]
            raise ValueError(f"token {twice!r} occurs twice in the vocabulary. Tokens must be distinct")

    @classmethod
    def build(cls, tokens: Iterable[str], max_size: int | None = None) -> "Vocabulary":
        """The vocabulary of a stream of tokens.

        Without `max_size` every token gets an id, in order of first appearance (as AWD-LSTM numbers them).
        With `max_size` the vocabulary always has `<unk>` and `<eos>`, and beside them the most frequent
        tokens: at most `max_size` in all, the most frequent first, ties by first appearance.
        """
        return cls.of_counts(collections.Counter(tokens), max_size)

    @classmethod
    def of_counts(cls, counted: Mapping[str, int], max_size: int | None = None) -> "Vocabulary":
        """`build` from how often each token occurs, the tokens in order of their first appearance."""
        if max_size is None:
            return cls(tuple(counted))
        if max_size < 2:
            raise ValueError(f"a vocabulary of {max_size} has no room for {UNK} and {EOS}. Use at least 2")
        counts = collections.Counter(counted)
        for special in (UNK, EOS):
            counts.setdefault(special, 0)
        words = [token for token, _ in counts.most_common() if token not in (UNK, EOS)][: max_size - 2]
        kept = set(words) | {UNK, EOS}
        return cls(tuple(token for token, _ in counts.most_common() if token in kept))

    @functools.cached_property
    def _id_of(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    @property
    def unk_id(self) -> int | None:
        """The id of `<unk>`, or None when every token must be known."""
        return self._id_of.get(UNK)

    @property
    def eos_id(self) -> int | None:
        """The id of `<eos>`, or None when the vocabulary has no end of line."""
        return self._id_of.get(EOS)

    def ids(self, tokens: Iterable[str]) -> np.ndarray:
        """Ids of the tokens, int32 [N]; unknown ones become `<unk>`, `ValueError` when there is none."""
        id_of, unknown = self._id_of, self.unk_id
        if unknown is not None:
            return np.fromiter((id_of.get(token, unknown) for token in tokens), np.int32)
        try:
            return np.fromiter((id_of[token] for token in tokens), np.int32)
        except KeyError as error:
            raise ValueError(
                f"token {error} is not in the vocabulary, and the vocabulary has no {UNK}"
            ) from None

    def __len__(self) -> int:
        """V."""
        return len(self.tokens)
