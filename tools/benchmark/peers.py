"""From a subject to its twin in PyTorch: the same weights, sizes and rates."""

import numpy as np
import tensorflow as tf

from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.config import provenance
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.space.highway.programs import fed_by
from bayesnas_tf.training.settings import WindowOptions
from bayesnas_tf.training.strategies.bayesnas.step import SearchStep
from tools.benchmark.subject import Bench
from tools.peer.model import Rates, Weights
from tools.peer.steps import Peer


def weights_of(model: LanguageModel) -> Weights:
    """Copies of the weights of a search or of a genotype's language model."""
    cell = model.cell
    if isinstance(cell.options, CellOptions):
        kernels, scalars = [kernel.numpy() for kernel in cell.node_kernels], cell.scalars.numpy()
    else:
        of_node: dict[int, np.ndarray] = {}
        scalars = None
        for source, nodes in fed_by(cell.genotype).items():
            parts = np.split(cell.source_kernels[str(source)].numpy(), len(nodes), axis=1)
            of_node |= dict(zip(nodes, parts, strict=True))
        kernels = [of_node[node] for node in sorted(of_node)]
    w_0 = np.concatenate([cell.kernel.numpy(), cell.recurrent_kernel.numpy()])
    return Weights(model.embedding.numpy(), model.decoder_bias.numpy(), w_0, kernels, scalars)


def rates_of(model: LanguageModel) -> Rates:
    """The dropout rates of a model and its cell."""
    options, cell = model.options, model.cell
    return Rates(
        words=options.word_dropout,
        embeddings=options.embedding_dropout,
        inputs=cell.input_dropout,
        hidden=cell.hidden_dropout,
        outputs=options.output_dropout,
    )


def peer_of(name: str, bench: Bench) -> Peer:
    """The twin of a step.

    Raises:
      UserError: there is none.
    """
    settings, problem = bench.settings, bench.problem
    refuse(name, bench)
    threads = tf.config.threading.get_intra_op_parallelism_threads()  # 0: not set
    peer = Peer(
        weights=weights_of(problem.model),
        cell=settings.cell.norm if name == "search_step" else problem.genotype,
        windows=WindowOptions(settings.windows.batch_size, settings.windows.bptt),
        rates=rates_of(problem.model),
        threads=threads * bench.execution.replicas.groups or provenance.usable_cores(),
    )
    if name == "evaluate":
        return peer._replace(windows=WindowOptions(len(problem.valid_rows), settings.windows.bptt))
    scalar_options = settings.scalars if name == "search_step" else None
    return peer._replace(options=settings.weights, scalar_options=scalar_options)


def refuse(name: str, bench: Bench) -> None:
    """Name the first setting that the PyTorch code does not know."""
    settings = bench.settings
    unknown = {"a GPU": tf.config.list_logical_devices("GPU")}
    if name == "search_step":
        cell = settings.cell
        unknown |= {
            f"search.strategy = {settings.strategy!r}": type(bench.problem.step) is not SearchStep,
            f"CellOptions.weight_sharing = {cell.weight_sharing!r}": cell.weight_sharing != "node",
            "CellOptions.norm_learnable = True": cell.norm_learnable,
            "CellOptions.zero_edge_switch = True": cell.zero_edge_switch,
            f"ScalarOptions.gauge = {settings.scalars.gauge!r}": settings.scalars.gauge != "none",
        }
    else:
        unknown[f"OptimizerOptions.rule = {settings.optimizer.rule!r}"] = settings.optimizer.rule == "adam"
    for setting, found in unknown.items():
        if found:
            raise UserError(
                f"--peer has no PyTorch form of {setting} for {name}. Change it, or remove --peer"
            )
