"""Run many searches and trainings, one process each, and select the best cells."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    from bayesnas_tf.sweeping import sweep_command  # TensorFlow loads here, after the flags are checked

    sweep_command.run_sweep(run)


if __name__ == "__main__":
    config.launch(main, "sweep")
