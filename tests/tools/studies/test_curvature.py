"""tools/curvature_study: it measures what it says, and its files have the promised form."""

import importlib.machinery
import importlib.util
import json
import xml.etree.ElementTree as ElementTree

import pytest

from tools import curvature_studying

KEYS = {
    "estimator",
    "norm",
    "tau",
    "probes",
    "spearman_ggn",
    "spearman_exact",
    "median_ratio",
    "negative_share",
    "cost_steps",
}
MICRO = curvature_studying.Preset(4, 2, 5, 4, 60, 3_000, (curvature_studying.MEAN,), 2, 1)


@pytest.fixture(scope="module")
def command():
    from tests.conftest import ROOT

    loader = importlib.machinery.SourceFileLoader("curvature_study", str(ROOT / "tools" / "curvature_study"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results(command, tmp_path_factory):
    """What a study of two estimators on a tiny supernet leaves."""
    out = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(curvature_studying.PRESETS, "small", MICRO)
        rows = ({"estimator": "ggn", "probes": 64}, {"estimator": "recursive", "tau": 0})
        patch.setattr(curvature_studying, "ROWS", rows)
        assert command.main(["--out", str(out / "new"), "--data_dir", str(out / "data")]) == 0
    return out / "new"


def test_the_json_has_the_promised_keys_and_many_probes_are_near_the_truth(results):
    rows = json.loads((results / "fidelity.json").read_text())
    assert all(set(row) >= KEYS for row in rows)
    ggn, recursive = rows
    assert (ggn["estimator"], ggn["probes"], recursive["probes"], recursive["tau"]) == ("ggn", 64, None, 0)
    assert ggn["spearman_ggn"] > 0.9
    assert 0.6 < ggn["median_ratio"] < 1.6
    assert ggn["negative_share"] == 0.0
    assert recursive["cost_steps"] > 0.0


def test_the_table_and_the_figure_show_every_row(command, results):
    table = (results / "fidelity.md").read_text().splitlines()
    assert len(table) == 2 + 2
    assert "ggn, 64 probes" in table[2]
    figure = ElementTree.fromstring((results / "fidelity.svg").read_text())
    assert len(figure.findall(".//{*}circle")) == 2
    texts = [text.text for text in figure.findall(".//{*}text")]
    assert "recursive" in texts


def test_names_tell_estimators_with_other_settings_apart(command):
    rows = [
        {"estimator": row["estimator"], **{k: row.get(k) for k in ("probes", "tau", "truncation", "d_term")}}
        for row in curvature_studying.ROWS
    ]
    assert len(set(map(command.name_of, rows))) == len(rows)
