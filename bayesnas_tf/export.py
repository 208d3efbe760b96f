"""Write a trained run as a SavedModel."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    from bayesnas_tf.reporting import saved_model  # TensorFlow loads here, after the flags are checked

    saved_model.run_export(run)


if __name__ == "__main__":
    config.launch(main, "export")
