"""Options to strategies: the one place that knows all of them."""

from bayesnas_tf.training.strategies.bayesnas import BayesNas
from bayesnas_tf.training.strategies.darts import Darts
from bayesnas_tf.training.strategies.darts_step import DartsOptions
from bayesnas_tf.training.strategies.enas_step import EnasOptions
from bayesnas_tf.training.strategies.interface import Strategy
from bayesnas_tf.training.strategies.options import BayesNasOptions, StrategyOptions
from bayesnas_tf.training.strategies.random_search import RandomSearch
from bayesnas_tf.training.strategies.sampled_step import RandomOptions, RandomSharingOptions
from bayesnas_tf.training.strategies.sharing import Enas, RandomSharing

STRATEGIES: dict[type[StrategyOptions], type[Strategy]] = {
    BayesNasOptions: BayesNas,
    DartsOptions: Darts,
    RandomOptions: RandomSearch,
    RandomSharingOptions: RandomSharing,
    EnasOptions: Enas,
}


def strategy(loop) -> Strategy:
    """The strategy of a loop's settings."""
    return STRATEGIES[type(loop.settings.strategy)](loop)
