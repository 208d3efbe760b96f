"""Training: compiled steps, the search loop and the evaluation loop."""
