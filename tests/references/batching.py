"""Slow twin of `bayesnas_tf.data.batching`: one token at a time, no TensorFlow."""

import numpy as np


def rows(stream, batch):
    """Row b holds tokens b C .. (b + 1) C - 1 of the stream, with C = N // batch."""
    columns = len(stream) // batch
    return np.array([[stream[b * columns + c] for c in range(columns)] for b in range(batch)], np.int32)


def darts_lengths(steps, bptt, base_draws, normal_draws):
    """The loop of DARTS' `train_search.py`, for given uniform and standard normal draws."""
    lengths = []
    for u, z in zip(base_draws, normal_draws, strict=True):
        base = bptt if u < 0.95 else bptt / 2.0
        length = min(max(5, int(base + 5.0 * z)), bptt + 20)
        lengths.append(min(length, steps - sum(lengths)))
        if sum(lengths) == steps:
            break
    return lengths


def windows(rows, starts, lengths, bucket):
    """(x, y, length) of every window, padded with 0 at the end to a multiple of `bucket`."""
    result = []
    for start, length in zip(starts, lengths, strict=True):
        padded = int(np.ceil(length / bucket)) * bucket
        x = np.zeros((len(rows), padded), np.int32)
        y = np.zeros((len(rows), padded), np.int32)
        for t in range(length):
            x[:, t] = rows[:, start + t]
            y[:, t] = rows[:, start + t + 1]
        result.append((x, y, length))
    return result
