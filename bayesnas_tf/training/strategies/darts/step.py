"""One step of DARTS (Liu et al. 2019): the architecture moves on validation text, then W on training text."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import gin
import keras
import numpy as np
import tensorflow as tf

from bayesnas_tf.cells.reading import PLAIN, Purpose
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.models import losses
from bayesnas_tf.models.language_model import LanguageModel, Masks
from bayesnas_tf.numerics import seeds
from bayesnas_tf.options import NonNegative
from bayesnas_tf.space.base import Sites
from bayesnas_tf.training import sgd
from bayesnas_tf.training.settings import OptimizerOptions, WeightOptions, WindowOptions
from bayesnas_tf.training.strategies.options import StrategyOptions
from bayesnas_tf.training.strategies.turns import Turns
from bayesnas_tf.training.train_step import TrainStep

Order = Literal[1, 2]
ALPHA_SEED, VALID_SEED = 3, 50  # slots of the run's seed and of the step's
ALPHA_DEVIATION = 1e-3
RADIUS = 0.01  # of the finite difference, over the norm of v
EPSILON = 1e-8  # of Adam, as PyTorch's


@gin.register
@dataclasses.dataclass(frozen=True)
class DartsOptions(StrategyOptions):
    """Gradient search by a softmax over the operations of each edge."""

    order: Order = 2  # 2: through one step of W, five passes over a window; 1: at W as it is, two passes
    lr: NonNegative = 3e-3  # of Adam on α
    weight_decay: NonNegative = 1e-3  # of α, beside its gradient

    @property
    def name(self) -> str:
        """darts1 or darts2."""
        return f"darts{self.order}"

    def check(self, settings) -> None:
        """Refuse a second scalar per edge: the softmax has one per operation."""
        if settings.cell.zero_edge_switch:
            raise ValueError("DARTS has no zero edges. Set CellOptions.zero_edge_switch = False")
        if self.order == 2 and settings.optimizer.rule != "sgd":
            raise ValueError(
                f"DartsOptions.order=2 needs one step of SGD, not of {settings.optimizer.rule!r}. "
                "Set DartsOptions.order = 1, or OptimizerOptions.rule = 'sgd'"
            )

    def cell(self, options: CellOptions) -> SearchCell:
        """All edges, all operations."""
        return SearchCell(options)

    def step(self, model, settings, valid_rows, seed) -> "DartsStep":
        """See `DartsStep`."""
        step = DartsStep(model, settings.windows, settings.weights, self, valid_rows, settings.optimizer)
        start = tf.random.stateless_normal(
            step.alpha.shape, seeds.fold(seed, ALPHA_SEED), dtype=step.alpha.dtype
        )
        step.set_alpha(ALPHA_DEVIATION * start)
        return step


class Softmax:
    """From logits α `[E, O + 1]`, whose last column is "none", to scalars w `[E, O]`.

    With norm `mean`, which divides the sum over a node's terms by their number, the softmax of an edge is
    scaled by the number of its operations, so that a node is the mean over its predecessors. A switch has
    one option beside "none": its scalar is a sigmoid.
    """

    def __init__(self, sites: Sites, norm: str):
        """`norm` is that of the cell."""
        terms = sites.exists.sum(axis=1) if norm == "mean" else np.ones(len(sites.exists))
        self.scale = np.where(sites.edges, terms, 1.0)[:, np.newaxis]
        absent = np.where(sites.exists, 0.0, -np.inf)
        self.absent = np.pad(absent, [[0, 0], [0, 1]]) if not sites.exists.all() else None

    def probabilities(self, alpha: tf.Tensor) -> tf.Tensor:
        """All of a row add up to 1; `[E, O + 1]`."""
        return tf.nn.softmax(alpha if self.absent is None else alpha + tf.cast(self.absent, alpha.dtype))

    def mixture(self, alpha: tf.Tensor) -> tf.Tensor:
        """The scalars w `[E, O]`."""
        return tf.cast(self.scale, alpha.dtype) * self.probabilities(alpha)[:, :-1]

    def pull(self, alpha: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        """∂L/∂α of ∂L/∂w: p (g - Σ p g) with g = scale · upstream, and 0 for "none"."""
        p = self.probabilities(alpha)
        g = tf.pad(tf.cast(self.scale, alpha.dtype) * upstream, [[0, 0], [0, 1]])
        return p * (g - tf.reduce_sum(p * g, axis=1, keepdims=True))


class Gradients(NamedTuple):
    """Gradients of the two losses as functions of W, a list of tensors."""

    train_weights: Callable[[Sequence[tf.Tensor]], list[tf.Tensor]]  # ∂L_train/∂W, a list
    train_scalars: Callable[[Sequence[tf.Tensor]], tf.Tensor]  # ∂L_train/∂w
    valid: Callable[[Sequence[tf.Tensor]], tuple[list[tf.Tensor], tf.Tensor]]  # (∂L_valid/∂W, ∂L_valid/∂w)


def unrolled_gradient(
    of: Gradients, weights: Sequence[tf.Tensor], rate: tf.Tensor, clip: float, weight_decay: float
) -> tf.Tensor:
    """∂/∂w of L_valid(W - ξ (c ∂L_train/∂W + 2 λ W), w): equations 7 and 8 of DARTS.

    The clip's factor c counts as a constant. ∂²L_train/∂w∂W · v, with v = ∂L_valid/∂W at the moved weights,
    is a central difference over W ± R v with R = 0.01 / ‖v‖: its error is of the order of (R ‖v‖)² ‖v‖.

    Args:
      of: the gradients.
      weights: W, a list of tensors.
      rate: ξ, the learning rate of W in this window.
      clip: the joint norm that ∂L_train/∂W is limited to; 0: none.
      weight_decay: λ.
    """
    gradients = of.train_weights(weights)
    factor = sgd.clip_factor(gradients, clip)
    clipped = [factor * gradient for gradient in gradients]
    v, direct = of.valid(sgd.sgd(weights, clipped, rate, weight_decay))
    radius = RADIUS / (tf.linalg.global_norm(v) + 1e-10)
    ahead, behind = (
        of.train_scalars([w + sign * radius * along for w, along in zip(weights, v, strict=True)])
        for sign in (1.0, -1.0)
    )
    return direct - rate * factor * (ahead - behind) / (2.0 * radius)


class DartsStep(TrainStep):
    """Adam on α, then clipped SGD or Adam on W; the cell's scalars are always the mixture of α."""

    def __init__(
        self,
        model: LanguageModel,
        windows: WindowOptions,
        weights: WeightOptions,
        options: DartsOptions,
        valid_rows: np.ndarray,
        rule: OptimizerOptions | None = None,
    ):
        """`valid_rows` int32 `[B, C]`; α is 0 until `set_alpha`; `rule` of W."""
        super().__init__(model, windows, weights, rule)
        self.darts, self.turns = options, Turns(valid_rows, windows.bptt, self.state)
        scalars = model.cell.scalars
        self.weights = [v for v in model.trainable_variables if v is not scalars]
        self.build_optimizer(self.weights)
        self.softmax = Softmax(model.cell.space.sites, model.cell.options.norm)
        edges, ops = scalars.shape
        self.alpha = tf.Variable(tf.zeros([edges, ops + 1], scalars.dtype), trainable=False)
        self.optimizer = keras.optimizers.Adam(options.lr, epsilon=EPSILON)
        self.optimizer.build([self.alpha])
        self.architecture_tokens = tf.Variable(0, dtype=tf.int64, trainable=False)

    def set_alpha(self, alpha: tf.Tensor) -> None:
        """These logits, and the scalars that belong to them."""
        self.alpha.assign(alpha)
        self.model.cell.scalars.assign(self.softmax.mixture(alpha))

    def __call__(self, x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, lr: tf.Tensor, seed: tf.Tensor) -> None:
        """Move α, then W on x, y `[B, P]`, of which the first `length` steps count; `seed` draws masks."""
        self.move_alpha(x, y, length, lr, seed)
        gradients, nats, state = self.gradients(self.weights, x, y, length, seed)
        self.move(self.weights, gradients, length, lr)
        self.state.assign(state)
        self.add_totals(nats, length)

    def move_alpha(
        self, x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, lr: tf.Tensor, seed: tf.Tensor
    ) -> None:
        """A step of Adam on α `[E, O + 1]`, by the validation loss of the present turn, in nats per token.

        Of order 2 the gradient looks through one step of W on the training window x, y `[B, P]`: for that W
        moves three times (by the step, then to both sides of where it was) and is put back. All passes share
        one draw of the masks for the training window and one for validation: they differ in W alone.
        """
        batch, turns, options = x.shape[0], self.turns, self.options
        drawn = self.model.draw_masks(seed, batch)
        valid_masks = self.model.draw_masks(seeds.fold(seed, VALID_SEED), batch)
        valid_x, valid_y, state = turns.window()

        def train(purpose: Purpose) -> tf.Tensor:
            return self.nats((x, y, length), self.state, drawn, purpose)[0]

        def valid(purpose: Purpose) -> tf.Tensor:
            nats, after = self.nats((valid_x, valid_y, turns.steps), state, valid_masks, purpose)
            turns.carry(after)
            return nats

        weights = [tf.convert_to_tensor(v) for v in self.weights]
        if self.darts.order == 1:
            of_scalars = self.of_scalars(valid, weights)
        else:
            of = Gradients(
                lambda at: self.of_both(train, at)[0],
                lambda at: self.of_scalars(train, at),
                lambda at: self.of_both(valid, at),
            )
            rate = self.rate(length, lr)
            of_scalars = unrolled_gradient(of, weights, rate, options.clip, options.weight_decay)
            self.set_weights(weights)
            self.architecture_tokens.assign_add(3 * tf.cast(batch * length, tf.int64))
        self.architecture_tokens.assign_add(turns.tokens)
        gradient = self.softmax.pull(self.alpha, of_scalars) + self.darts.weight_decay * self.alpha
        self.optimizer.apply([gradient], [self.alpha])
        self.set_alpha(tf.convert_to_tensor(self.alpha))

    def nats(
        self,
        window: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        state: tf.Tensor,
        drawn: Masks,
        purpose: Purpose = PLAIN,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean nats of a window (x, y, length) from a state, under masks, and the state after it."""
        x, y, length = window
        hidden, after = self.model.window(x, state, length, drawn, purpose)
        return losses.mean_nats(self.model.token_nats(hidden, y, drawn), length), after

    def of_both(
        self, loss: Callable[[Purpose], tf.Tensor], weights: Sequence[tf.Tensor]
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """∂L/∂W and ∂L/∂w at these weights, which stay set."""
        self.set_weights(weights)
        with tf.GradientTape() as tape:
            nats = loss(PLAIN)
        *of_weights, of_scalars = tape.gradient(nats, [*self.weights, self.model.cell.scalars])
        return sgd.dense(of_weights, weights), of_scalars

    def of_scalars(self, loss: Callable[[Purpose], tf.Tensor], weights: Sequence[tf.Tensor]) -> tf.Tensor:
        """∂L/∂w alone, for which kernels are constants."""
        self.set_weights(weights)
        scalars = self.model.cell.scalars
        with tf.GradientTape() as tape:
            nats = loss(Purpose(fixed_kernels=True))
        return tape.gradient(nats, scalars.value)

    def set_weights(self, weights: Sequence[tf.Tensor]) -> None:
        """Give W these values."""
        for variable, value in zip(self.weights, weights, strict=True):
            variable.assign(value)
