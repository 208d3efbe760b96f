"""The time loop of a cell cut at its matrix products: the form that is fast on a CPU."""
