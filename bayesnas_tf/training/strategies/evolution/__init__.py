"""Regularised evolution (Real et al. 2019)."""
