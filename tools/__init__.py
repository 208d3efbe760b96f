"""What maintainers measure and break with, for use from a checkout: python -m tools.benchmark, for instance."""

import os

# Here, because this module runs before any of a tool's, and Keras and TensorFlow read them when they load.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
