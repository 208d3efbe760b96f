import json
import re
import shutil

import pytest

from bayesnas_tf.serving import model_card
from tests.support import trained

SUMMARY = {
    "valid_ppl": 80.125,
    "valid_nats": 4.3836,
    "valid_tokens": 73750,
    "test_ppl": 78.0,
    "test_nats": 4.3567,
    "test_tokens": 82429,
    "unigram_nats": 6.529,
    "epochs": 3,
    "asgd_epoch": None,
    "seed": 0,
    "seconds": {"train": 12.4},
    "made_by": {"commit": "abc1234", "machine": "a machine", "cores": 2},
}
FACTS = model_card.Facts(
    name="small",
    genotype=trained.GENOTYPE,
    corpus="ptb",
    text="ptb",
    tokenisation="White space separates tokens.",
    vocabulary=10_000,
    units=8,
    parameters=12_345,
    configuration="# header\nA.b = 1\n",
    summary=SUMMARY,
    seeds=[SUMMARY],
)


def test_a_card_tells_what_the_model_is_where_it_comes_from_and_what_it_cannot():
    card = model_card.card(FACTS)
    for part in (
        "| valid | 80.12 | 4.3836 | 73,750 |",
        "| test | 78.00 | 4.3567 | 82,429 |",
        "6.5290 nats per token",
        "One seed",
        "LDC99T42",
        "12,345 parameters",
        str(trained.GENOTYPE),
        "- commit: abc1234",
        "- machine: a machine",
        "- Training seconds: 12",
        "A.b = 1",
        "saved_model_cli run",
        "## Limits",
    ):
        assert part in card, part
    assert "None" not in card
    assert '\nlicense: "other"\n' in card


@pytest.mark.parametrize(
    "text",
    [
        "CorpusOptions.train_file = '/home/me/secret/a.txt'",
        "CorpusOptions.train_file = \\\n    '/home/me/secret/a.txt'",
        "CorpusOptions.train_file = '~/secret/a.txt'",
        "TEXT = '/home/me/secret/a.txt'\nCorpusOptions.train_file = %TEXT",
        'CorpusOptions.train_file = "/home/it\'s/secret/a.txt"',
        "CorpusOptions.train_file = 'a.txt'",
    ],
)
def test_a_card_names_the_user_s_texts_without_their_folders(text):
    configuration = f"CorpusOptions.name = 'text'\n{text}\nCellOptions.units = 3\n"
    card = model_card.card(FACTS._replace(configuration=configuration))
    assert "secret" not in card
    assert "home" not in card
    assert "a.txt" in card
    assert "\nCellOptions.units = 3" in card


def test_the_header_is_what_model_hubs_read():
    _, header, rest = model_card.card(FACTS).split("---\n", 2)
    told = {name: json.loads(value) for name, value in re.findall("^(\\S+): (.*)$", header, re.MULTILINE)}
    assert told == model_card.metadata(FACTS)
    (index,) = told["model-index"]
    assert [result["dataset"]["split"] for result in index["results"]] == ["valid", "test"]
    assert index["results"][0]["metrics"] == [{"type": "perplexity", "value": 80.12}]
    assert rest.startswith("\n# small on ptb\n")
    unknown = model_card.metadata(FACTS._replace(corpus="text", summary=None))
    assert not {"model-index", "language"} & set(unknown)
    assert unknown["license"] == "unknown"


def test_seeds_have_mean_and_deviation():
    summaries = [{**SUMMARY, "seed": seed, "valid_ppl": 80.0 + seed, "test_ppl": 78.0} for seed in range(3)]
    told = model_card.over_seeds(summaries)
    assert told == (
        "Over 3 seeds (0, 1, 2), same configuration: "
        "valid 81.00 ± 1.00 (80.00, 81.00, 82.00); test 78.00 ± 0.00 (78.00, 78.00, 78.00)."
    )
    summaries[1] = {**summaries[1], "made_by": {"commit": "def5678"}}
    assert model_card.over_seeds(summaries) == f"{told} They come from different commits: abc1234, def5678."


def test_a_training_that_has_not_ended_is_not_given_numbers():
    card = model_card.card(FACTS._replace(summary=None, seeds=[]))
    assert "before its training ended" in card
    assert "| valid |" not in card
    assert "- Exported with: bayesnas_tf " in card
    assert "header" not in card


def test_a_perplexity_that_is_not_finite_has_its_words():
    broken = {**SUMMARY, "valid_ppl": None, "seed": 1}
    assert "| valid | not finite | 4.3836 |" in model_card.card(FACTS._replace(summary=broken))
    assert "valid not finite for 1 of them; test 78.00" in model_card.over_seeds([SUMMARY, broken])


@pytest.fixture
def runs(exported, tmp_path):
    """The run of `exported` as runs/run, with room for others."""
    ignored = shutil.ignore_patterns("checkpoints", "saved_model", "tb")
    shutil.copytree(exported / "run", tmp_path / "runs" / "run", ignore=ignored)
    return tmp_path / "runs"


def other(runs, name, seed, change=lambda text: text):
    """A run that differs in its seed, and in what `change` does to its configuration."""
    shutil.copytree(runs / "run", runs / name)
    config = runs / name / "config.gin"
    config.write_text(change(config.read_text().replace('"seed": 0', f'"seed": {seed}')))
    summary = json.loads((runs / name / "summary.json").read_text())
    (runs / name / "summary.json").write_text(json.dumps({**summary, "seed": seed}))


def test_siblings_differ_in_the_seed_alone(runs):
    other(runs, "seed5", 5)
    other(runs, "seed2", 2)
    other(runs, "changed", 3, lambda text: text.replace("lr = 5.0", "lr = 6.0"))
    other(runs, "running", 4)
    (runs / "running" / "summary.json").unlink()
    other(runs, "broken", 6)
    (runs / "broken" / "summary.json").write_text("{")
    other(runs, "another_text", 7)
    (runs / "another_text" / "pins.json").write_text('{"corpus": "another"}')
    other(runs, "again", 2)
    other(runs, "no_cell", 8)
    (runs / "no_cell" / "genotype.json").write_text("{}")
    (runs / "elsewhere").mkdir()
    assert "lr = 6.0" in (runs / "changed" / "config.gin").read_text()
    assert [summary["seed"] for summary in model_card.siblings(runs / "run")] == [0, 2, 5]


def test_export_writes_the_card_beside_the_graph(exported):
    card = (exported / "run" / "saved_model" / model_card.FILE).read_text()
    summary = trained.summary(exported)
    assert f"| {summary['valid_ppl']:.2f} |" in card
    assert f"{summary['parameters']:,} parameters" in card
    assert "WeightOptions.lr = 5.0" in card
    assert "WeightOptions.clip = 0.25" in card  # a default
    assert f"- machine: {summary['made_by']['machine']}" in card


def test_a_training_that_has_not_ended_exports_its_best_weights(exported, tmp_path):
    ignored = shutil.ignore_patterns("summary.json", "operative_config.gin", "saved_model", "tb")
    shutil.copytree(exported / "run", tmp_path / "run", ignore=ignored)
    assert trained.export(tmp_path) == 0
    card = (tmp_path / "run" / "saved_model" / model_card.FILE).read_text()
    assert "before its training ended" in card
    assert "WeightOptions.lr = 5.0" in card
    assert "WeightOptions.clip" not in card
