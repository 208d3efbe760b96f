"""Sums, seeds, matrix products, blocks, XLA, groups of rows: arithmetic that knows no cell."""
