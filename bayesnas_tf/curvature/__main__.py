"""Write the diagonal Hessian of every weight of a trained run."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    from bayesnas_tf.commands.curvature import (
        run_curvature,  # TensorFlow loads here, after the flags
    )

    run_curvature(run)


if __name__ == "__main__":
    config.launch(main, "curvature")
