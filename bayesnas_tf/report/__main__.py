"""Tables and figures of many runs as one HTML page."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    from bayesnas_tf.commands.report import (
        run_report,  # NumPy and SciPy load here, after the flags
    )

    run_report(run)


if __name__ == "__main__":
    config.launch(main, "report")
