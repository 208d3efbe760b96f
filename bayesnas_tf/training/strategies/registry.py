"""Options to strategies: the one place that knows all of them."""

import dataclasses
from typing import Literal, get_args

import gin

from bayesnas_tf.errors import did_you_mean
from bayesnas_tf.training.strategies.bayesnas.options import BayesNasOptions
from bayesnas_tf.training.strategies.bayesnas.strategy import BayesNas
from bayesnas_tf.training.strategies.darts.step import DartsOptions
from bayesnas_tf.training.strategies.darts.strategy import Darts
from bayesnas_tf.training.strategies.enas.step import EnasOptions
from bayesnas_tf.training.strategies.enas.strategy import Enas
from bayesnas_tf.training.strategies.evolution.options import EvolutionOptions
from bayesnas_tf.training.strategies.evolution.strategy import Evolution
from bayesnas_tf.training.strategies.halving.options import HalvingOptions
from bayesnas_tf.training.strategies.halving.strategy import Halving
from bayesnas_tf.training.strategies.interface import Strategy
from bayesnas_tf.training.strategies.options import StrategyOptions
from bayesnas_tf.training.strategies.random_search.options import RandomOptions
from bayesnas_tf.training.strategies.random_search.strategy import RandomSearch
from bayesnas_tf.training.strategies.random_sharing.step import RandomSharingOptions
from bayesnas_tf.training.strategies.random_sharing.strategy import RandomSharing

Name = Literal["bayesnas", "darts1", "darts2", "random", "random_ws", "enas", "halving", "evolution"]
NAMES: tuple[str, ...] = get_args(Name)

STRATEGIES: dict[type[StrategyOptions], type[Strategy]] = {
    BayesNasOptions: BayesNas,
    DartsOptions: Darts,
    RandomOptions: RandomSearch,
    RandomSharingOptions: RandomSharing,
    EnasOptions: Enas,
    HalvingOptions: Halving,
    EvolutionOptions: Evolution,
}


def strategy(loop) -> Strategy:
    """The strategy of a loop's settings."""
    return STRATEGIES[type(loop.settings.strategy)](loop)


@gin.register
def named_strategy(name: Name) -> StrategyOptions:
    """The options of the strategy of that name, otherwise as configured: for a sweep, which varies texts.

    Raises:
      ValueError: there is none.
    """
    if name not in NAMES:
        hint = did_you_mean(str(name), NAMES)
        raise ValueError(f"named_strategy.name={name!r} must be one of {', '.join(map(repr, NAMES))}{hint}")
    for kind in STRATEGIES:
        options = gin.get_configurable(kind)()
        if isinstance(options, DartsOptions) and name.startswith("darts"):
            return dataclasses.replace(options, order=int(name[-1]))  # type: ignore[arg-type]
        if options.name == name:
            return options
    raise AssertionError(f"{name} is among NAMES and has no options")
