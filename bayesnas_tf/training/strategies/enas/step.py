"""One step of ENAS: shared weights move for a cell of the controller, then the controller by REINFORCE."""

import dataclasses
from typing import Annotated

import gin
import keras
import tensorflow as tf

from bayesnas_tf.models import losses
from bayesnas_tf.numerics import seeds
from bayesnas_tf.options import Below1, NonNegative, Positive, Range, Units, Whole
from bayesnas_tf.training.strategies.cell_step import CELL_SEED, CellStep
from bayesnas_tf.training.strategies.enas.controller import Controller, score_function_gradients
from bayesnas_tf.training.strategies.options import Cells, SampledOptions
from bayesnas_tf.training.strategies.turns import Turns

START_SEED, REWARD_SEED = 4, 52  # slots of the run's seed and of the step's
MOST_NATS = 10.0  # of a validation window, for the reward


@gin.register
@dataclasses.dataclass(frozen=True)
class EnasOptions(SampledOptions):
    """ENAS: what the controller is, how it learns, and how a cell is taken from it."""

    units: Units = 100  # of the controller's LSTM
    lr: NonNegative = 1e-3  # of Adam on the controller
    temperature: Positive = 5.0  # divides the controller's logits
    tanh_limit: Positive = 2.5  # logits lie between minus and plus this
    reward: NonNegative = 80.0  # over the validation perplexity of a window
    entropy: NonNegative = 1e-3  # weight of -log π in the reward
    baseline_decay: Below1 = 0.99  # of the moving mean that is subtracted from the reward
    steps: Annotated[int, Range(0, 1000)] = 1  # of the controller, after each window of training
    cells: Cells = 100  # that the controller writes after each epoch; the best of them is taken
    valid_windows: Whole = 0  # validation windows that score each; 0: all

    @property
    def name(self) -> str:
        """Its name."""
        return "enas"

    def check(self, settings) -> None:
        """Refuse a space whose cells the controller cannot write."""
        if not settings.cell.searched().script:
            raise ValueError(
                "search.strategy=@EnasOptions() cannot write cells of CellOptions.space="
                f"{settings.cell.space!r} as a sequence. Choose another strategy"
            )

    def step(self, model, settings, valid_rows, seed) -> "EnasStep":
        """See `EnasStep`."""
        step = EnasStep(model, settings.windows, settings.weights, self, valid_rows, settings.optimizer)
        step.controller.initialise(seeds.fold(seed, START_SEED))
        return step


class EnasStep(CellStep):
    """Owns the controller, its optimizer, the baseline and the validation windows of the rewards."""

    def __init__(self, model, windows, weights, options: EnasOptions, valid_rows, rule=None):
        """`valid_rows` int32 `[B, C]`; `rule` of the shared weights."""
        super().__init__(model, windows, weights, rule)
        self.enas, self.turns = options, Turns(valid_rows, windows.bptt, self.state)
        self.controller = Controller(
            model.cell.space, options.units, options.temperature, options.tanh_limit, self.state.dtype
        )
        self.optimizer = keras.optimizers.Adam(options.lr)
        self.optimizer.build(self.controller.weights)
        # until the first reward, which it is
        self.baseline = tf.Variable(0.0, dtype=self.state.dtype, trainable=False)
        self.architecture_tokens = tf.Variable(0, dtype=tf.int64, trainable=False)

    def __call__(self, x, y, length, lr, seed):
        """As `CellStep` for a cell that the controller writes, then `steps` steps of the controller."""
        self.model.cell.choose(self.controller.sample(seeds.fold(seed, CELL_SEED), 1).choices[0])
        super().__call__(x, y, length, lr, seed)
        for number in range(self.enas.steps):
            self.move_controller(seeds.fold(seed, REWARD_SEED, number))

    def move_controller(self, seed) -> None:
        """Adam on the score-function gradient of one cell's reward over the moving average of rewards."""
        first = self.turns.done == 0
        drawn = self.controller.sample(seed, 1)
        self.model.cell.choose(drawn.choices[0])
        reward = self.window_reward() - self.enas.entropy * drawn.log_prob[0]
        before = tf.where(first, reward, self.baseline)
        self.baseline.assign(before - (1.0 - self.enas.baseline_decay) * (before - reward))
        advantage = (reward - self.baseline)[tf.newaxis]
        gradients = score_function_gradients(self.controller, drawn.choices, advantage)
        self.optimizer.apply(gradients, self.controller.weights)

    def window_reward(self):
        """c over the perplexity of the present turn under the cell that is set, without dropout.

        A cell that diverges there gets the least reward, and the next turn begins with a zero state.
        """
        x, y, state = self.turns.window()
        hidden, state = self.model.window(x, state, tf.shape(x)[1])
        nats = losses.mean_nats(self.model.token_nats(hidden, y), self.turns.steps)
        finite = tf.math.is_finite(nats)
        self.turns.carry(
            tf.where(finite & tf.reduce_all(tf.math.is_finite(state)), state, tf.zeros_like(state))
        )
        self.architecture_tokens.assign_add(self.turns.tokens)
        return self.enas.reward * tf.exp(-tf.where(finite, tf.minimum(nats, MOST_NATS), MOST_NATS))
