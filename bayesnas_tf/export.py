"""Write a trained run as a SavedModel."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    from bayesnas_tf.commands.export import run_export  # TensorFlow loads here, after the flags

    run_export(run)


if __name__ == "__main__":
    config.launch(main, "export")
