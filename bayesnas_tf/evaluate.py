"""Train a genotype or a baseline and report its perplexity."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    from bayesnas_tf.reporting import evaluate_command  # TensorFlow loads here, after the flags are checked

    evaluate_command.run_evaluate(run)


if __name__ == "__main__":
    config.launch(main, "evaluate")
