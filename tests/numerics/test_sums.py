"""Sums keep their order in the graph that TensorFlow runs, not only in the one that was written."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import tensorflow as tf
from tensorflow.python.eager import context
from bayesnas_tf.numerics import sums

if sys.argv[1] == "kept":
    sums.keep_order()
context.enable_run_metadata()
function = tf.function(lambda *terms: sums.ordered_sum([tf.exp(term) for term in terms]), autograph=False)
function(*[tf.ones([2, 3])] * 4)
graphs = [found.post_optimization_graph for found in context.export_run_metadata().function_graphs]
print(max(len(node.input) for graph in graphs for node in graph.node if node.op.startswith("Add")))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("order", "most"), [("kept", 2), ("free", 4)])
def test_no_sum_of_an_optimized_graph_has_more_than_two_terms(root, order, most):
    """Without `keep_order` TensorFlow joins the four, which is why it is there."""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", PROGRAM, order]
    process = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert int(process.stdout) == most
