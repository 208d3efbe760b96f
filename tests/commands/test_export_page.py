"""The Python of docs/how_to/export_and_serve.md runs as it stands there."""

import re

import numpy as np
import pytest
import tensorflow as tf

from tests.support import trained

PAGE = "docs/how_to/export_and_serve.md"


@pytest.fixture
def blocks(root):
    return re.findall(r"^```python\n(.*?)^```", (root / PAGE).read_text(), re.MULTILINE | re.DOTALL)


def test_there_are_three_blocks(blocks):
    assert ["DerivedCell" in block for block in blocks] == [False, False, True]


def test_the_cell_trains_in_a_model_of_ones_own_and_is_saved_with_it(blocks, tmp_path):
    names: dict = {}
    exec(compile(blocks[2], PAGE, "exec"), names)
    keras, model = names["keras"], names["model"]
    x = np.random.default_rng(0).integers(0, 10_000, size=(64, 9))
    y = x[:, 0] % 2
    history = model.fit(x, y, epochs=30, batch_size=64, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)


def test_a_saved_model_scores_as_shown(blocks, exported, monkeypatch):
    monkeypatch.chdir(exported)
    names: dict = {}
    block = blocks[0].replace("runs/quickstart_eval-seed0/saved_model", "run/saved_model")
    exec(compile(block, PAGE, "exec"), names)
    assert 1.0 < float(names["perplexity"]) < 100.0
    assert trained.summary(exported)["kind"] == "evaluate"


def test_a_saved_model_converts_as_shown(blocks, exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = blocks[1].replace("runs/quickstart_eval-seed0/saved_model", str(exported / "run" / "saved_model"))
    exec(compile(block, PAGE, "exec"), {"tf": tf})
    assert (tmp_path / "step.tflite").stat().st_size > 1000
