"""Optimizers of the evaluation protocol."""
