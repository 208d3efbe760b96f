"""Run many searches and trainings, one process each, and select the best cells."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    from bayesnas_tf.commands.sweep import run_sweep  # TensorFlow loads here, after the flags

    run_sweep(run)


if __name__ == "__main__":
    config.launch(main, "sweep")
