"""Perplexity of a text under a SavedModel, or the continuation of a prompt."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    # TensorFlow loads here, after the flags are known to be right
    from bayesnas_tf.reporting import scoring  # TensorFlow loads here, after the flags are checked

    scoring.run_score(run)


if __name__ == "__main__":
    config.launch(main, "score")
