"""Many runs of other commands, one process and one run directory each, and the selection among them."""
