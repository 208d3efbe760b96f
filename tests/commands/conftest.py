from tests.serving.conftest import exported, loaded, score, signatures  # noqa: F401
