"""MODEL_CARD.md beside a SavedModel: what the model is, what it was made of, and what it cannot do."""

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from bayesnas_tf import __version__, config
from bayesnas_tf.data.corpora import RECORDS
from bayesnas_tf.errors import UserError
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space.genotype import Genotype

FILE = "MODEL_CARD.md"
_PLACE = re.compile(r"""(['"])([/~](?:\\.|(?!\1).)*)\1""")  # a text of gin that is a path of this machine


LIMITS = (
    "It knows only the words of its vocabulary. It reads every other word as `<unk>`, which lowers the "
    "perplexity of texts with many such words. Where the vocabulary has no `<unk>`, such a word is an error.",
    "It repeats what its corpus says, with the opinions and errors of the corpus, and cannot judge truth.",
    "Compare perplexities only within one corpus, vocabulary and tokenisation. Those above are static: no "
    "dynamic evaluation, no cache, no softmax temperature.",
)
CHANCE = (
    "One number does not show that its cell is better than a random one: train random cells with the same "
    "configuration, and compare."
)


class Facts(NamedTuple):
    """What a card tells."""

    name: str  # of the genotype or the baseline
    genotype: Genotype | None  # None for a baseline
    corpus: str
    text: str  # name of the corpus together with its vocabulary, where that is not its own
    tokenisation: str
    vocabulary: int
    units: int
    parameters: int
    configuration: str  # as one gin text
    summary: dict[str, Any] | None  # of the run; None where its training has not ended
    seeds: list[dict[str, Any]]  # summaries of runs that differ from it in the seed alone, its own among them
    experts: int = 1  # softmaxes of its output


def siblings(run: Path) -> list[dict[str, Any]]:
    """Summaries of the ended runs beside `run` that differ from it in the seed alone, one for each seed.

    Its own is among them, and stands for its seed.
    """
    own, found = _identity(run), {}
    others = (path for path in run.resolve().parent.iterdir() if path.is_dir())
    for folder in [*sorted(others), run]:
        if not (result := RunFiles(folder).summary).exists():
            continue  # no ended run
        try:
            if _identity(folder) == own:
                summary = config.summary(result, "evaluate")
                found[summary["seed"]] = summary
        except (OSError, ValueError, KeyError, UserError):
            print(f"note: cannot read {folder}, and the model card leaves it out", file=sys.stderr)
    return [found[seed] for seed in sorted(found)]


def _identity(run: Path) -> tuple:
    """Configuration, cell and corpus of a run, its seed left out."""
    text = RunFiles(run).config.read_text(encoding="utf-8")
    cell = RunFiles(run).genotype  # a baseline has no such file
    genotype = Genotype.load(cell) if cell.is_file() else None
    return text.partition("\n")[2], genotype, config.pins(run).get("corpus")


def card(facts: Facts) -> str:
    """The card as Markdown."""
    text = RECORDS[facts.corpus]
    sections = {
        "Results": _results(facts),
        "Data": (
            f"{text.about}. Terms of this text: {text.terms}. Within them, the publisher of the model "
            f"chooses its licence.\n\nVocabulary: {facts.vocabulary:,} tokens. {facts.tokenisation}"
        ),
        "Model": _model(facts),
        "Use": _use(),
        "Limits": "\n".join(f"- {limit}" for limit in (*LIMITS, *([CHANCE] if facts.genotype else []))),
        "How it was made": _made(facts),
        "Configuration": f"```\n{_settings(facts.configuration)}\n```",
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"{_header(facts)}\n# {facts.name} on {facts.text}\n\n{body}\n"


def _header(facts: Facts) -> str:
    """`metadata` as YAML, of which JSON is a part."""
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in metadata(facts).items()]
    return "\n".join(["---", *lines, "---", ""])


def metadata(facts: Facts) -> dict[str, Any]:
    """What model hubs read, by their names."""
    text = RECORDS[facts.corpus]
    told = {
        "library_name": "tensorflow",
        "language": text.language,
        **text.licence,
        "tags": ["language-model", "neural-architecture-search", "recurrent", "bayesnas"],
        "datasets": [facts.corpus],
        "metrics": ["perplexity"],
        "model-index": _index(facts),
    }
    return {name: value for name, value in told.items() if value}


def _index(facts: Facts) -> list[dict[str, Any]]:
    """The measured perplexities, as the results of one model."""
    summary, corpus = facts.summary or {}, facts.text
    values = {split: summary.get(f"{split}_ppl") for split in ("valid", "test")}
    results = [
        {
            "task": {"type": "text-generation"},
            "dataset": {"name": corpus, "type": corpus, "split": split},
            "metrics": [{"type": "perplexity", "value": round(value, 2)}],
        }
        for split, value in values.items()
        if value is not None
    ]
    return [{"name": facts.name, "results": results}] if results else []


def _results(facts: Facts) -> str:
    """Perplexities of this run and over seeds."""
    summary = facts.summary
    if summary is None:
        return (
            "The model was exported before its training ended: these are the best weights so far, unmeasured."
        )
    rows = ["| Split | Perplexity | Nats per token | Tokens predicted |", "|---|---|---|---|"]
    for split in ("valid", "test"):
        numbers = (_shown(summary[f"{split}_{name}"], form) for name, form in _NUMBERS.items())
        rows.append(f"| {split} | {' | '.join(numbers)} |")
    unigram = f"Word frequencies alone: {summary['unigram_nats']:.4f} nats per token of the validation split."
    return "\n".join([*rows, "", unigram, "", over_seeds(facts.seeds)])


_NUMBERS = {"ppl": ".2f", "nats": ".4f", "tokens": ",d"}


def _shown(value: float | None, form: str) -> str:
    """A number of summary.json, which has null for what is not finite."""
    return "not finite" if value is None else f"{value:{form}}"


def over_seeds(summaries: list[dict[str, Any]]) -> str:
    """Mean and standard deviation (of a sample) over seeds, in a sentence."""
    if len(summaries) < 2:
        return "One seed: the spread over seeds is unknown."
    parts = []
    for split in ("valid", "test"):
        values = [summary[f"{split}_ppl"] for summary in summaries]
        if None in values:
            parts.append(f"{split} not finite for {values.count(None)} of them")
            continue
        listed = ", ".join(f"{value:.2f}" for value in values)
        parts.append(f"{split} {statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} ({listed})")
    seeds = ", ".join(str(summary["seed"]) for summary in summaries)
    makers = {str(summary.get("made_by", {}).get("commit")) for summary in summaries}
    commits = f" They come from different commits: {', '.join(sorted(makers))}." if len(makers) > 1 else ""
    return f"Over {len(summaries)} seeds ({seeds}), same configuration: {'; '.join(parts)}.{commits}"


def _model(facts: Facts) -> str:
    """What lies between the words."""
    output = "softmax" if facts.experts == 1 else f"a mixture of {facts.experts} softmaxes"
    if facts.genotype is None:
        return (
            f"The baseline `{facts.name}` between a tied embedding and {output}, {facts.parameters:,} "
            "parameters. The configuration below shows its sizes."
        )
    return (
        f"One recurrent cell of {facts.units} units between a tied embedding and {output}, "
        f"{facts.parameters:,} parameters. Cell: `{facts.genotype}` ({_origin(facts.genotype)})."
    )


def _origin(genotype: Genotype) -> str:
    """Where the cell comes from."""
    known = {name: value for name, value in genotype.provenance.items() if value is not None}
    origin = ", ".join(f"{name} {value}" for name, value in known.items())
    return origin or "origin not recorded"


def _made(facts: Facts) -> str:
    """Epochs, seed, versions, machine."""
    summary = facts.summary or {}
    told = {
        "Epochs": summary.get("epochs"),
        "Averaged from epoch": summary.get("asgd_epoch"),
        "Seed": summary.get("seed"),
        "Training seconds": round(summary["seconds"]["train"]) if "seconds" in summary else None,
        **summary.get("made_by", {}),
        "Exported with": f"bayesnas_tf {__version__}, tensorflow {tf.__version__}",
    }
    return "\n".join(f"- {name}: {value}" for name, value in told.items() if value is not None)


def _settings(configuration: str) -> str:
    """What a configuration sets, without gin's headings; of places on this machine the file's name alone."""
    lines = _PLACE.sub(lambda found: f"{found[1]}{Path(found[2]).name}{found[1]}", configuration).splitlines()
    return "\n".join(line for line in lines if line.strip() and not line.startswith("#"))


def _use() -> str:
    """How to load it, from the folder that holds it."""
    return """```python
import tensorflow as tf

loaded = tf.saved_model.load("saved_model")
result = loaded.signatures["score"](lines=tf.constant(["a line of text", "and the next one"]))
```

```
saved_model_cli run --dir saved_model --tag_set serve --signature_def score \\
  --input_exprs 'lines=["a line of text"]'
```

Signatures: `score` (lines of one text to nats and predicted tokens of each), `step` (token ids and state to
log-probabilities and state), `cell` (the cell alone; stacked layers have none), `encode`, `decode`,
`score_next` (a text in pieces). Lines are UTF-8; other bytes are read as U+FFFD. Needs TensorFlow alone."""
