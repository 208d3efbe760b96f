"""The Bayesian half of Algorithm 2: posterior of the scalars, pruning, genotype. Arrays only, no model.

Everything here but `gauge` works on NumPy float64 arrays `[E, O]`: a search calls it once per epoch on
some hundred numbers. `gauge` runs inside the compiled train step and is TensorFlow.
"""
