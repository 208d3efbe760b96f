"""DARTS, of first and second order (Liu et al. 2019)."""
