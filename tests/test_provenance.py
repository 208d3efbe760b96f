import subprocess

import keras
import tensorflow as tf

from bayesnas_tf import __version__
from bayesnas_tf.config import provenance


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def test_a_result_says_what_made_it():
    told = provenance.made_by()
    assert (told["bayesnas_tf"], told["tensorflow"], told["keras"]) == (
        __version__,
        tf.__version__,
        keras.__version__,
    )
    assert told["machine"]
    assert told["cores"] >= 1


def test_a_commit_is_that_of_the_checkout_itself(tmp_path):
    assert provenance.commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "inside").mkdir()
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "one")
    clean = provenance.commit(tmp_path)
    assert 7 <= len(clean) <= 40
    assert provenance.commit(tmp_path / "inside") is None
    (tmp_path / "file").write_text("two")
    assert provenance.commit(tmp_path) == f"{clean}-dirty"
