"""One step of the search: a window in, every weight, scalar and carried state updated in place."""

from collections.abc import Sequence

import tensorflow as tf

from bayesnas_tf.bayes import gauge
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.training import sgd
from bayesnas_tf.training.settings import (
    OptimizerOptions,
    ScalarOptions,
    SwitchOptions,
    WeightOptions,
    WindowOptions,
)
from bayesnas_tf.training.train_step import TrainStep


class SearchStep(TrainStep):
    """Clipped SGD on W, proximal SGD on the scalars w (M5); owns the L1 weights ω too.

    Switches have a rate and a λ of their own, and stay in [0, 1].
    """

    def __init__(
        self,
        model: LanguageModel,
        windows: WindowOptions,
        weights: WeightOptions,
        scalars: ScalarOptions,
        switches: SwitchOptions | None = None,
        rule: OptimizerOptions | None = None,
    ):
        """See `TrainStep`."""
        super().__init__(model, windows, weights, rule)
        self.scalar_options, self.switch_options = scalars, switches or SwitchOptions()
        self.scalars = [v for v in (model.cell.scalars, model.cell.zero_scalars) if v is not None]
        owned = {id(v) for v in self.scalars}
        self.weights = [v for v in model.trainable_variables if id(v) not in owned]
        self.build_optimizer(self.weights)
        self.omega = [tf.Variable(tf.ones_like(w), trainable=False) for w in self.scalars]
        # of the loss without L1, that is NLL and any temporal activation; mean over E·O, summed over steps
        self.squared_gradient = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.sites, self.prices = model.cell.space.sites, model.cell.space.prices(scalars.cost_share)
        self.entries = int(self.sites.exists.sum())
        self.moving = None
        if self.sites.switches:  # 0 while they stay where they are: see `hold`
            self.moving = tf.Variable(1.0, dtype=model.cell.scalars.dtype, trainable=False)

    def __call__(self, x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, lr: tf.Tensor, seed: tf.Tensor) -> None:
        """Train on x, y `[B, P]`, of which the first `length` time steps count; `seed` draws the masks."""
        gradients, nats, state = self.gradients(self.weights + self.scalars, x, y, length, seed)
        of_weights, of_scalars = gradients[: len(self.weights)], gradients[len(self.weights) :]
        self.move(self.weights, of_weights, length, lr)
        self.move_scalars(of_scalars)
        self.state.assign(state)
        self.add_totals(nats, length)
        squares = tf.reduce_sum(tf.square(of_scalars[0])) / self.entries
        self.squared_gradient.assign_add(tf.cast(squares, tf.float64))

    def hold(self, held: bool) -> None:
        """Whether the switches stay where they are in the next window: a function of the progress."""
        if self.moving is not None:
            self.moving.assign(0.0 if held else 1.0)

    def move_scalars(self, gradients: Sequence[tf.Tensor]) -> None:
        """Proximal step (M5) on each array of scalars, `[E, O]` and `[E]`, then gauge and bounds of switches.

        The soft threshold of L1 comes behind the gradient step: a plain sub-gradient would jitter round 0
        and never reach it. The gauge `rms` is for the scalars of edges alone, whose scale a norm takes out.
        """
        options = self.scalar_options
        for w, omega, gradient in zip(self.scalars, self.omega, gradients, strict=True):
            edges = len(w.shape) == 2
            lr, l1 = self.rates() if edges else (options.lr, options.l1(self.bptt))
            value = sgd.proximal_sgd(tf.convert_to_tensor(w), gradient, lr, l1, omega)
            if options.gauge == "rms" and edges:
                value = gauge.rms(value, self.sites)
            if self.sites.switches and edges:
                switches = tf.constant(~self.sites.edges)[:, tf.newaxis]
                value = tf.where(switches, tf.clip_by_value(value, 0.0, 1.0), value)
            w.assign(value)

    def rates(self) -> tuple[tf.Tensor | float, tf.Tensor | float]:
        """Rate and L1 factor of the scalars `[E, O]`: numbers, or arrays where entries differ in them."""
        options, switches, by_row = self.scalar_options, self.switch_options, self.sites.by_row
        l1 = self.prices * by_row(options.l1(self.bptt), options.per_window(switches.lambda_w, self.bptt))
        of = lambda values: tf.constant(values, self.scalars[0].dtype)  # noqa: E731
        if self.moving is None:
            return options.lr, l1 if isinstance(l1, float) else of(l1)
        return of(by_row(options.lr, 0.0)) + of(by_row(0.0, switches.lr)) * self.moving, of(l1)
