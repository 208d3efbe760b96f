import json

import pytest

from bayesnas_tf.config import gin_files
from bayesnas_tf.errors import UserError
from bayesnas_tf.space import known
from bayesnas_tf.space.highway import published
from tests.support import trained
from tests.support.sizes import parameter_count


@pytest.fixture
def folder(tmp_path):
    trained.write_corpus(tmp_path)
    return tmp_path


def test_a_run_leaves_what_the_interface_lists(exported):
    names = {path.name for path in (exported / "run").iterdir()}
    assert names >= {
        "config.gin",
        "operative_config.gin",
        "metrics.jsonl",
        "genotype.json",
        "summary.json",
        "cell.svg",
        "cell.dot",
        "checkpoints",
        "tb",
    }


def test_the_summary_holds_the_result(exported):
    summary = trained.summary(exported)
    assert summary["kind"] == "evaluate"
    assert summary["genotype"] == trained.GENOTYPE.to_dict()
    vocabulary = len((exported / "run" / "vocabulary.txt").read_text().split())
    assert summary["parameters"] == parameter_count(vocabulary, 8, 3)
    assert 1.0 < summary["valid_ppl"] == summary["test_ppl"] < 10.0
    assert (summary["asgd_epoch"], summary["epochs"], summary["seed"]) == (None, 1, 0)
    assert summary["valid_tokens"] == summary["test_tokens"] == summary["valid_stream_tokens"]
    assert summary["valid_stream_nats"] == pytest.approx(summary["valid_nats"], rel=1e-12)  # one row both
    share = summary["valid_tokens"] / (summary["valid_tokens"] + 1)
    assert summary["valid_darts_ppl"] == pytest.approx(summary["valid_ppl"] ** share)
    rows = [json.loads(line) for line in (exported / "run" / "metrics.jsonl").read_text().splitlines()]
    (valid,) = (row for row in rows if row["split"] == "valid")
    assert valid["nats"] == pytest.approx(summary["valid_nats"])


def test_the_same_command_again_shows_the_result_and_trains_no_more(exported, capfd):
    before = (exported / "run" / "metrics.jsonl").read_text()
    assert trained.evaluate(exported) == 0
    out = capfd.readouterr().out
    assert "perplexity" in out
    assert "has finished" in out
    assert (exported / "run" / "metrics.jsonl").read_text() == before


def test_an_ended_run_can_be_measured_dynamically_and_nothing_else_changes(folder, capfd):
    assert trained.evaluate(folder) == 0
    before = trained.summary(folder)
    assert trained.evaluate(folder, "--dynamic") == 0
    after = trained.summary(folder)
    dynamic = after.pop("dynamic")
    assert after == before
    assert dynamic["valid_tokens"] == before["valid_stream_tokens"]
    assert dynamic["valid_ppl"] == pytest.approx(before["valid_stream_ppl"], rel=0.1)
    assert dynamic["valid_ppl"] != before["valid_stream_ppl"]
    assert dynamic["options"]["bptt"] == 5
    assert "dynamic" in capfd.readouterr().err
    assert trained.evaluate(folder, "--dynamic") == 0
    assert "has finished" in capfd.readouterr().out


def test_a_dry_run_prints_cell_and_parameters_and_writes_nothing(folder, capfd):
    assert trained.evaluate(folder, "--dry_run") == 0
    out = capfd.readouterr().out
    assert str(trained.GENOTYPE) in out
    assert f"{parameter_count(7, 8, 3):,} parameters" in out
    assert not (folder / "run").exists()


def test_a_misspelt_genotype_names_those_nearby(folder):
    with pytest.raises(UserError, match=r"no genotype '.*genotyp\.json'.*did you mean '.*genotype\.json'"):
        known.find_genotype(str(folder / "genotyp.json"), 0)
    with pytest.raises(UserError, match="did you mean"):
        known.find_genotype(str(folder), 0)


def test_a_cell_found_by_a_search_is_named_when_its_run_is_misspelt(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "runs" / "ptb-seed0").mkdir(parents=True)
    trained.GENOTYPE.save(folder / "runs" / "ptb-seed0" / "genotype.json")
    with pytest.raises(UserError, match="did you mean 'runs/ptb-seed0/genotype.json'"):
        known.find_genotype("runs/ptb-sed0/genotype.json", 0)


def test_a_known_cell_goes_by_its_name_and_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert known.find_genotype("DARTS_V2", 0) == published.named("DARTS_V2")
    assert known.find_genotype("random", 5) == published.random_cell(5)
    trained.GENOTYPE.save(tmp_path / "DARTS_V2")
    assert known.find_genotype("DARTS_V2", 0) == trained.GENOTYPE


def test_a_misspelt_name_is_corrected_and_all_names_are_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"did you mean 'DARTS_V2'.*one of .*DARTS_V1.*random-N"):
        known.find_genotype("darts_v2", 0)


def test_no_genotype_and_a_broken_one_are_one_line(folder):
    with pytest.raises(UserError, match="--genotype=FILE"):
        known.find_genotype("", 0)
    (folder / "broken.json").write_text("{}")
    with pytest.raises(UserError, match=r"cannot use --genotype=.*broken\.json.*format"):
        known.find_genotype(str(folder / "broken.json"), 0)


@pytest.mark.parametrize("name", ["ptb_eval.gin", "wikitext2_eval.gin", "quickstart_eval.gin"])
def test_the_gin_files_name_only_what_exists(name):
    from bayesnas_tf.config import parse

    assert gin_files.find(name)
    assert "evaluate" in parse([name])
