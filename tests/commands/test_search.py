import pytest

from tests.support import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command")
    tiny.write(folder)
    return folder


def test_a_dry_run_tells_corpus_supernet_and_cell_and_writes_nothing(folder, capsys):
    assert tiny.run(folder, "dry", "--dry_run", "--gin_param=CorpusOptions.vocabulary_size=30") == 0
    corpus, supernet, cell, travel = capsys.readouterr().out.splitlines()
    assert "text" in corpus
    assert "vocabulary 30" in corpus
    assert "2 nodes" in supernet
    parameters = 30 * 3 + 30 + 6**2 + 2 * 2 * 3**2 + 12
    assert f"{parameters:,} parameters" in supernet
    assert f"{30 * 850 + 30 + 1700**2 + 2 * 2 * 850**2:,} parameters at 850 units" in cell
    assert "L1 alone moves a scalar by" in travel
    assert not (folder / "dry").exists()


@pytest.mark.parametrize("name", ["epochs", "report_every", "checkpoint_every", "resamples"])
def test_a_loop_that_never_ends_is_refused(folder, capsys, name):
    assert tiny.run(folder, "never", "--dry_run", f"--gin_param=search.{name}=0") == 1
    assert f"search.{name} cannot be 0" in capsys.readouterr().err


def test_an_ended_search_can_be_diagnosed_afterwards_and_then_only_shows_it(folder, capsys):
    assert tiny.run(folder, "late") == 0
    before = tiny.summary(folder / "late")
    assert not before["health"]["oracle_correlations"]
    assert tiny.run(folder, "late", "--diagnose") == 0
    after = tiny.summary(folder / "late")
    assert set(after["health"].pop("oracle_correlations")) >= {"gamma", "taylor"}
    before["health"].pop("oracle_correlations")
    assert [w for w in after["health"].pop("warnings") if "removal" not in w] == before["health"].pop(
        "warnings"
    )
    assert after == before
    capsys.readouterr()
    assert tiny.run(folder, "late", "--diagnose") == 0
    assert "has finished" in capsys.readouterr().out
