"""Train a genotype or a baseline and report its perplexity."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    from bayesnas_tf.commands.evaluate import run_evaluate  # TensorFlow loads here, after the flags

    run_evaluate(run)


if __name__ == "__main__":
    config.launch(main, "evaluate")
