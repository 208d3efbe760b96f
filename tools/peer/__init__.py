"""The models of this package as a user of PyTorch writes them; the benchmark's --peer times them beside ours.

Nothing here imports TensorFlow, so that the memory of a process that runs them is theirs alone.
"""
