import pytest
import tensorflow as tf

from tests.support import trained


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A folder with a text, a small run of `evaluate` on it and its SavedModel."""
    folder = tmp_path_factory.mktemp("exported")
    trained.write_corpus(folder)
    assert trained.evaluate(folder) == 0
    assert trained.export(folder) == 0
    return folder


@pytest.fixture(scope="session")
def loaded(exported):
    """That SavedModel, as TensorFlow loads it: the signatures do not keep its weights alive."""
    return tf.saved_model.load(str(exported / "run" / "saved_model"))


@pytest.fixture(scope="session")
def signatures(loaded):
    """Its functions."""
    return loaded.signatures


@pytest.fixture(scope="session")
def score(signatures):
    """Nats and predicted tokens of the lines of one text."""

    def of(lines):
        result = signatures["score"](lines=tf.constant(lines, tf.string))
        return result["nats"].numpy(), result["tokens"].numpy()

    return of
