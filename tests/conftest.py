"""What the tests share: a quiet TensorFlow, a clean gin, and the corpora where they lie."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
# what is compiled runs once, on a handful of numbers: LLVM need not spend its time on it
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import importlib.util  # noqa: F401  gin 0.5 uses it without importing it

import gin
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def root_of_tests() -> Path:
    """The folder of the tests."""
    return ROOT / "tests"


@pytest.fixture(autouse=True)
def _clean_gin():
    """No binding of one test reaches the next."""
    gin.clear_config()
    yield
    gin.clear_config()


@pytest.fixture(scope="module")
def eager_steps():
    """Nothing is compiled: of steps so small, that would take longer than to run them."""
    import tensorflow as tf  # not above: many tests need none

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def corpora() -> Path:
    """Folder with the real PTB and WikiText-2; both may not be copied into this repository."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "ptb").is_dir():
        pytest.skip("no ../shared/data: PTB and WikiText-2 are not distributed with this repository")
    return folder
