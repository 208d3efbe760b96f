"""One HTML page and its CSV files from run directories: nothing here needs TensorFlow or a live process."""
