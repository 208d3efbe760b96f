"""Perplexity of a text under a SavedModel, or the continuation of a prompt."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    from bayesnas_tf.commands.score import run_score  # TensorFlow loads here, after the flags

    run_score(run)


if __name__ == "__main__":
    config.launch(main, "score")
