"""The one-shot oracle: what each edge-op costs when it alone is removed, measured (method section 8)."""

import numpy as np
import tensorflow as tf

from bayesnas_tf.models import losses


def loss_changes(model, windows, on_done=lambda done, total: None) -> np.ndarray:
    """Mean nats with w_e = 0 minus mean nats with all scalars, float64 [E, O].

    Args:
      model: a language model around a search cell; its scalars are put back afterwards.
      windows: held-out (x, y) pairs, int32 `[B, T]` of one length; the state is carried over them.
      on_done: told after each of the passes with one entry removed.
    """
    scalars = model.cell.scalars
    kept = scalars.numpy()
    windows = list(windows)

    @tf.function(autograph=False)
    def mean_nats():
        state, total = model.zero_state(windows[0][0].shape[0]), tf.zeros([], tf.float64)
        for x, y in windows:
            hidden, state = model.window(x, state, tf.shape(x)[1])
            nats = losses.token_nats(model.decode(hidden), y)
            total += tf.cast(tf.reduce_mean(nats), tf.float64)
        return total / len(windows)

    try:
        whole = float(mean_nats())
        changes, entries = np.zeros(kept.size), np.flatnonzero(model.cell.space.sites.exists)
        for done, entry in enumerate(entries, start=1):
            without = kept.copy()
            without.flat[entry] = 0.0
            scalars.assign(without)
            changes[entry] = float(mean_nats()) - whole
            on_done(done, len(entries))
    finally:
        scalars.assign(kept)
    return changes.reshape(kept.shape)
