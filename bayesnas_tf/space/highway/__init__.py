"""The search space of the thesis and of DARTS: one source and one operation per node, behind gates."""
