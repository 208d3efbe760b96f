"""`tools.studies.curvature`: it measures what it says, and its files have the promised form."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from tools.studies import curvature, curvature_measures

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
MICRO = curvature_measures.Preset(4, 2, 5, 4, 60, 3_000, (curvature_measures.MEAN,), 2, 1)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What a study of two estimators on a tiny supernet leaves."""
    out = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(curvature_measures.PRESETS, "small", MICRO)
        rows = ({"estimator": "ggn", "probes": 64}, {"estimator": "recursive", "tau": 0})
        patch.setattr(curvature_measures, "ROWS", rows)
        assert curvature.main(["--out", str(out / "new"), "--data_dir", str(out / "data")]) == 0
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


def test_the_table_and_the_figure_show_every_row(results):
    table = (results / "fidelity.md").read_text().splitlines()
    assert len(table) == 2 + 2
    assert "ggn, 64 probes" in table[2]
    figure = ElementTree.fromstring((results / "fidelity.svg").read_text())
    (setting,) = [group for group in figure.iter() if group.get("id") == "mean"]
    assert len(setting.findall(".//{*}use")) == 2  # a dot for each row
    texts = [text.text for text in figure.findall(".//{*}text")]
    assert "recursive" in texts


def test_names_tell_estimators_with_other_settings_apart():
    rows = [
        {"estimator": row["estimator"], **{k: row.get(k) for k in ("probes", "tau", "truncation", "d_term")}}
        for row in curvature_measures.ROWS
    ]
    assert len(set(map(curvature.name_of, rows))) == len(rows)
