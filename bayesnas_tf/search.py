"""Search a recurrent cell on a corpus: Algorithm 2, from text to a genotype."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    from bayesnas_tf.commands.search import run_search  # TensorFlow loads here, after the flags

    run_search(run)


if __name__ == "__main__":
    config.launch(main, "search")
