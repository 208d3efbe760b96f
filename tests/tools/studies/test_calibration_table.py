"""`tools.studies.calibration_table`: one update of a made-up run, again with each scale of h."""

import json

import numpy as np

from tools.studies import calibration_table

LAMBDA_W = 0.5


def test_a_run_gives_a_row_for_each_scale(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.gin").write_text(f"SIZE = {LAMBDA_W}\nScalarOptions.lambda_w = %SIZE\n")
    (run / "metrics.jsonl").write_text(json.dumps({"split": "valid", "step": 70, "nats": 5.0}) + "\n")
    w = np.zeros((1, 3, 4))  # two nodes
    w[0, 0, 2] = w[0, 2, 1] = 1.0  # sigmoid of node 0, then relu of node 1; w = 0 is removed
    np.savez(run / "posterior.npz", w=w, h=np.full_like(w, 1e-4), gradient=np.zeros((3, 4)))
    calibration_table.main([str(run)])
    lines = capsys.readouterr().out.splitlines()
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    assert head[-1] == "cell"
    assert [row[6] for row in rows] == list(calibration_table.SCALES)
    by_scale = {row[6]: row for row in rows}
    assert by_scale["mean"][:6] == ["run", "batch", "none", "0.5", "1.00", "5.000"]
    assert float(by_scale["sum_over_lambda"][7]) == 4480.0  # tokens of a window / lambda_w
    assert by_scale["mean"][10:12] == ["83%", "2"]
    assert by_scale["mean"][-1] == "sigmoid0 relu1"
