"""Whether the threads of TensorFlow suit groups of rows (`numerics.row_groups`).

The operations of one group must leave the cores of the others alone, and TensorFlow only knows how many
threads an operation has for a whole process.
"""

import tensorflow as tf

CORES = 2  # on which groups were measured to be faster; on any other number they have to be asked for
VARIABLE = "TF_NUM_INTRAOP_THREADS"  # whoever sets it has decided about threads


def set_for_groups(groups: int, cores: int | None) -> bool:
    """Let each operation use its group's share of the cores; False: TensorFlow has begun to compute."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(max(1, (cores or groups) // groups))
    except RuntimeError:
        return False
    return True
