"""Speed and memory of what users do with a SavedModel: score a text, continue a prompt."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bayesnas_tf.data.vocabulary import EOS, UNK, Vocabulary
from bayesnas_tf.serving import generation, scoring
from bayesnas_tf.serving.saved_model import export
from bayesnas_tf.serving.tokenisation import RULES
from tools import machine
from tools.benchmark.subject import Bench, Entries, Plan, Recipe, build
from tools.machine import peak_mb, reset_peak

LINES, WORDS = 40, 24  # of the text that is scored
DRAWN = 50  # words that follow a prompt, fewer where an end of sentence is drawn


class Served(NamedTuple):
    """What one call took, and for how many tokens."""

    seconds: float
    tokens: int


class ServingSpeed(NamedTuple):
    """One call through a loaded SavedModel, one row, token after token."""

    seconds: float
    tokens_per_second: float
    compile_seconds: float
    peak_mb: float | None


def score_call(signatures, folder: Path, words: tuple[str, ...]) -> Callable[[], Served]:
    """A function that scores a file of random words as `score` does."""
    text = folder / "text.txt"
    drawn = np.random.default_rng(0).choice(words, [LINES, WORDS])
    text.write_text("".join(" ".join(line) + "\n" for line in drawn))

    def call() -> Served:
        started = time.perf_counter()
        result = scoring.score_file(signatures, text)
        return Served(time.perf_counter() - started, result.tokens)

    return call


def generate_call(signatures, folder: Path, words: tuple[str, ...]) -> Callable[[], Served]:
    """A function that continues a word as `score --generate` does; the seed of a sentence is its number."""
    number = 0

    def call() -> Served:
        nonlocal number
        number += 1
        drawing, started = generation.Drawing(1.0, 0, number), time.perf_counter()
        found = generation.continued(signatures, words[0].encode(), DRAWN, drawing)
        return Served(time.perf_counter() - started, len(found))

    return call


CALLS = {"score": score_call, "generate": generate_call}


def served(name: str, bench: Bench, calls: int) -> list[Served]:
    """Export the model, load it and make so many calls."""
    model = bench.problem.model
    words = tuple(f"w{k}" for k in range(2, model.vocabulary))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model"
        export(model, Vocabulary((EOS, UNK, *words)), RULES[bench.settings.corpus.name], {}, out)
        loaded = scoring.load(out)  # the signatures do not keep the weights alive
        call = CALLS[name](loaded.signatures, Path(folder), words)
        reset_peak()
        return [call() for _ in range(calls)]


def serving_memory(name: str, recipe: Recipe) -> float | None:
    """The peak memory of this process over two calls, in 10^6 bytes; to be called in a new process."""
    served(name, build(recipe, 1), 2)
    return peak_mb()


def serving_speed(name: str, bench: Bench, plan: Plan) -> ServingSpeed:
    """Medians of `plan.rounds` calls behind a first one."""
    first, *others = served(name, bench, plan.rounds + 1)
    seconds, tokens = (statistics.median(values) for values in zip(*others, strict=True))
    return ServingSpeed(
        seconds=seconds,
        tokens_per_second=tokens / seconds,
        compile_seconds=max(first.seconds - seconds, 0.0),
        peak_mb=machine.alone(serving_memory, name, bench.recipe),
    )


def score(bench: Bench, plan: Plan, entries: Entries) -> ServingSpeed:
    """Score a text of 1,000 tokens."""
    return serving_speed("score", bench, plan)


def generate(bench: Bench, plan: Plan, entries: Entries) -> ServingSpeed:
    """Write up to 50 words."""
    return serving_speed("generate", bench, plan)
