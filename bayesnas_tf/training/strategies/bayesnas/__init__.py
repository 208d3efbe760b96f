"""BayesNAS: L1 on the scalars, their curvature, a Bayesian update, pruning."""
