"""`export`: a trained run becomes a SavedModel that loads with TensorFlow alone."""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from bayesnas_tf import __version__, config, files
from bayesnas_tf.config import gin_files
from bayesnas_tf.data import corpora
from bayesnas_tf.data.vocabulary import EOS, Vocabulary
from bayesnas_tf.errors import UserError, writing
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.serving import model_card
from bayesnas_tf.serving.signatures import ServedModel
from bayesnas_tf.serving.tokenisation import RULES, Rule
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training import trained_files
from bayesnas_tf.training.evaluate_settings import EvaluateSettings, name_of
from bayesnas_tf.training.trained_files import cell_of

ABOUT = Path("assets.extra") / "about.json"  # where serving systems expect what is no part of the graph
TOLERANCE = 1e-4  # relative; float32, with sums in another order


def facts_of(
    directory: Path, settings: EvaluateSettings, model: LanguageModel, genotype: Genotype | None
) -> model_card.Facts:
    """What a run's directory tells of its model."""
    return model_card.Facts(
        name=name_of(settings, genotype),
        genotype=genotype,
        corpus=settings.corpus.name,
        text=corpora.name_of(settings.corpus),
        tokenisation=RULES[settings.corpus.name].note,
        vocabulary=model.vocabulary - settings.spare_words,
        units=model.cell.output_size,
        experts=settings.head.experts if settings.head else 1,
        parameters=model.count_params(),
        configuration=read_configuration(directory),
        summary=trained_files.read_summary(directory) or None,
        seeds=model_card.siblings(directory),
    )


def read_configuration(directory: Path) -> str:
    """All that a run set, defaults included where it recorded them."""
    path = RunFiles(directory).operative_config
    with contextlib.suppress(OSError, ValueError, UserError):
        text = path.read_text(encoding="utf-8")
        if gin_files.read_text(text, path.name):
            return text
    if path.exists():
        print(f"note: cannot read {path}. The model card shows no defaults", file=sys.stderr)
    return RunFiles(directory).config.read_text(encoding="utf-8")


def about(facts: model_card.Facts) -> str:
    """The facts that a program may want, as JSON."""
    names = ("corpus", "vocabulary", "units", "parameters", "tokenisation")
    told = {**cell_of(facts.genotype, facts.name), **{name: getattr(facts, name) for name in names}}
    return json.dumps({**told, "bayesnas_tf": __version__}, indent=1) + "\n"


def export(
    model: LanguageModel, vocabulary: Vocabulary, rule: Rule, texts: dict[Path, str], out: Path
) -> None:
    """Write the SavedModel beside `out`, compare it with the model, and only then put it in its place.

    `texts` are files that go with it, by their paths inside.

    Raises:
      UserError: `out` holds something else, cannot be written, or what was written computes other numbers.
    """
    if out.exists() and not (out / "saved_model.pb").is_file() and (out.is_file() or any(out.iterdir())):
        raise UserError(f"{out} holds files that are not of a SavedModel. Choose another --out")
    with writing(out, "--out"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with files.prepared(out) as folder, files.unpatterned(folder.parent) as beside:
            written = beside / folder.name
            served = ServedModel(model, vocabulary, rule.graph)
            tf.saved_model.save(served, str(written), signatures=served.signatures())
            for path, text in texts.items():
                (written / path).parent.mkdir(exist_ok=True)
                config.write_text(written / path, text)
            compare(tf.saved_model.load(str(written)), model, vocabulary, rule)
        files.clean(out.parent, out.name)  # of exports that were killed


def compare(loaded, model: LanguageModel, vocabulary: Vocabulary, rule: Rule) -> None:
    """Check `score`, `step` and `cell` of a loaded SavedModel against the model in memory.

    The text is made of words of the vocabulary, an unknown word and an empty line, cut by the Python form of
    the rule: tokenisation is compared too.

    Raises:
      UserError: a number differs.
    """
    lines = sample_lines(vocabulary)
    stream = vocabulary.ids(token for line in lines for token in (*rule.python(line), EOS))
    x, y = tf.constant(stream[np.newaxis, :-1]), tf.constant(stream[np.newaxis, 1:])
    hidden = model.hidden(x, model.zero_state(1))
    nats = model.token_nats(hidden, y)[0].numpy().astype(np.float64)
    score = loaded.signatures["score"](lines=tf.constant(lines))
    step, state = loaded.signatures["step"], model.zero_state(1)
    for t in range(2):
        before, after = state, step(ids=x[0, t : t + 1], state=state)
        state = after["state"]
    pairs = {
        "number of tokens": (tf.reduce_sum(score["tokens"]), len(stream) - 1),
        "score": (tf.reduce_sum(score["nats"]), nats.sum()),
        "step": (after["log_probabilities"], model.log_probabilities(hidden)[:, 1, : len(vocabulary)]),
        "state": (state, model.window(x[:, :2], model.zero_state(1), 2)[1]),
    }
    if model.cell.program is not None:
        embedded = tf.gather(tf.convert_to_tensor(model.embedding), x[0, 1:2])
        names = model.cell.program.state
        given = dict(zip(names, tf.split(before, len(names), axis=1), strict=True))
        after = loaded.signatures["cell"](x=embedded, **given)
        pairs["cell"] = (tf.concat([after[name] for name in names], axis=1), state)
    for name, (found, wanted) in pairs.items():
        if not np.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE):
            raise UserError(
                f"the {name} of the SavedModel differs from that of the trained model. Nothing was written"
            )


def sample_lines(vocabulary: Vocabulary) -> list[str]:
    """Up to four lines of words of the vocabulary, an unknown word where there may be one, an empty line."""
    words = [token for token in vocabulary.tokens if token != EOS]
    chosen = words[:: max(1, len(words) // 32)][:32]
    lines = [" ".join(chosen[k : k + 8]) for k in range(0, len(chosen), 8)]
    return [*lines, "", *(["a-word-that-no-corpus-has"] if vocabulary.unk_id is not None else [])]
