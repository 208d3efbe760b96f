"""Cells drawn from the posterior of a search, to be trained beside its best one. NumPy only."""

import numpy as np

from bayesnas_tf.bayes import prune, scores
from bayesnas_tf.bayes.prune import PruneOptions
from bayesnas_tf.bayes.scores import Context
from bayesnas_tf.options import Positive, checked
from bayesnas_tf.space.base import Space
from bayesnas_tf.space.genotype import Genotype

TRIES = 200  # draws in a row that may be cells that there are already
LEAST = 1e-300  # a score whose logarithm is finite


def log_odds(context: Context, options: PruneOptions) -> np.ndarray:
    """ln P(an entry is not 0) / P(it is), `[E, O]`, by what decides M11: 0 where an entry is just pruned.

    With 'entropy' it is ln(gamma / threshold), with 'evidence' the log evidence that a removal loses.
    """
    if options.criterion == "evidence":
        odds = scores.evidence(context)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            odds = np.log(context.gamma) - np.log(options.threshold)
    never = prune.closed(context, options)[:, np.newaxis] | (context.gamma == 0.0)
    return np.where(never, -np.inf, odds)


def draw(
    context: Context, options: PruneOptions, space: Space, temperature: float, generator: np.random.Generator
) -> Genotype | None:
    """One cell; None where every node of the draw is dead and the space has no such cell.

    First every entry stays or goes by its odds; then each node takes one of what stayed, in proportion to
    its score (a score below 0 counts as 0). `temperature` divides the logarithms of odds and scores: towards
    0 the cell is the one that `prune.derive` finds, towards infinity nothing of the posterior is left.

    The draws of the nodes are Gumbel-max draws: of ln score / temperature plus Gumbel noise, `[E, O]`, the
    largest of a node's is a draw in proportion, so that the same code decides as without noise (M12).
    """
    checked("temperature", temperature, Positive)
    with np.errstate(over="ignore"):
        stays = 1.0 / (1.0 + np.exp(-log_odds(context, options) / temperature))
    gone = (generator.random(stays.shape) >= stays) | ~space.sites.exists
    values = prune.penalised(scores.score(options.score, context), options.identity_penalty, space.sites)
    logarithms = np.log(np.maximum(values, LEAST)) / temperature
    keys = logarithms + generator.gumbel(size=values.shape)
    mask = gone if options.keep_all_nodes else space.closure(gone)
    return space.decode(space.decisions(keys, mask, options.keep_all_nodes))


def proposals(
    context: Context, options: PruneOptions, space: Space, temperature: float, count: int, seed: int
) -> list[Genotype]:
    """At most `count` cells that differ from each other, as a function of the seed.

    There are fewer where 200 draws in a row bring no cell that is new.
    """
    generator = np.random.Generator(np.random.PCG64([seed, 0x70726F70]))
    found: dict[str, Genotype] = {}
    tries = 0
    while len(found) < count and tries < TRIES:
        cell, tries = draw(context, options, space, temperature, generator), tries + 1
        if cell is not None and str(cell) not in found:
            found[str(cell)], tries = cell, 0
    return list(found.values())
