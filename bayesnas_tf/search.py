"""Search a recurrent cell on a corpus: Algorithm 2, from text to a genotype."""

from bayesnas_tf import config


def main(run: config.Run) -> None:
    """Do what the command line asked for."""
    from bayesnas_tf.reporting import search_command  # TensorFlow loads here, after the flags are checked

    search_command.run_search(run)


if __name__ == "__main__":
    config.launch(main, "search")
