"""`tools.studies.halving`: what rungs would have spent and chosen, on curves that are made up."""

import json

import pytest

from bayesnas_tf.space.highway import published
from tools.studies import halving

# cell -> perplexity after each epoch with seed 0; with seed 1 it is 2 higher
CURVES = {
    "GDAS": [90.0, 70.0, 60.0, 50.0],
    "NAO": [80.0, 75.0, 74.0, 73.0],
    "ENAS": [95.0, 60.0, 45.0, 40.0],  # starts last and ends first
    "DARTS_V1": [85.0, 71.0, 65.0, 64.0],
}


@pytest.fixture
def sweep(tmp_path):
    rows = []
    for cell, curve in [*CURVES.items(), ("random-1", [1.0] * 4)]:
        for seed in (0, 1):
            run = f"rank/{cell}/seed{seed}"
            (tmp_path / run).mkdir(parents=True)
            lines = [{"split": "valid", "ppl": ppl + 2 * seed} for ppl in curve]
            (tmp_path / run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
            told = {"genotype": published.named(cell).to_dict()}
            rows.append(
                {
                    "run": run,
                    "stage": "rank",
                    "candidate": cell,
                    "seed": seed,
                    "state": "done",
                    "summary": told,
                }
            )
    (tmp_path / "sweep.json").write_text(json.dumps({"runs": rows}))
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "epochs", "chosen"),
    [
        (["--rungs=1", "--best=1"], 2 * (4 * 1 + 2 * 3), "DARTS_V1"),
        (["--rungs=2", "--best=1"], 2 * (4 * 2 + 2 * 2), "ENAS"),
        (["--rungs=1,2", "--best=2"], 2 * (4 * 1 + 2 * 1 + 2 * 2), "DARTS_V1, NAO"),
    ],
)
def test_halving_beside_the_whole_ranking(sweep, capsys, flags, epochs, chosen):
    assert halving.main([f"--sweep={sweep}", *flags]) == 0
    whole, halved = capsys.readouterr().out.splitlines()
    assert whole.split()[1] == "32"
    assert "chosen: ENAS" in whole
    assert halved.split()[1] == str(epochs)
    assert halved.endswith(f"chosen: {chosen}")


def test_what_holds_no_ranking_is_refused(sweep, capsys):
    assert halving.main([f"--sweep={sweep}", "--rungs=9"]) == 1
    assert "ascending numbers of epochs below RankOptions.epochs=4" in capsys.readouterr().err
    (sweep / "sweep.json").write_text(json.dumps({"runs": []}))
    assert halving.main([f"--sweep={sweep}", "--rungs=1"]) == 1
    assert "no ranked cell" in capsys.readouterr().err
