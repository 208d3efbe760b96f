"""What measures this package and breaks it on purpose; run from the checkout: `python -m tools.benchmark`."""

import os

# Here, because this module runs before any of a tool's, and Keras and TensorFlow read them when they load.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
