"""What a cell may be: spaces, their sites and their cells. Nothing here knows TensorFlow."""

from bayesnas_tf.space.highway import space as _highway  # noqa: F401  registered, so that genotypes find it
from bayesnas_tf.space.memory import space as _memory  # noqa: F401
from bayesnas_tf.space.nasbench_nlp import space as _nasbench_nlp  # noqa: F401
