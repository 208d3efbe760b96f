"""`step` and `cell` of a SavedModel outside of TensorFlow: TFLite with builtin operations, and ONNX."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.baselines.lstm import LstmOptions
from bayesnas_tf.cells.baselines.nas import NasOptions
from bayesnas_tf.cells.baselines.rhn import RhnOptions
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.models.heads import Mixture, MixtureOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.serving import saved_model
from bayesnas_tf.serving.tokenisation import RULES
from bayesnas_tf.space.highway import published

WORDS = Vocabulary(("<unk>", "<eos>", "a", "b", "c"))
CELLS = {
    "DARTS_V2": lambda: DerivedCell(published.named("DARTS_V2"), DerivedOptions(units=6, init_range=1.0)),
    "lstm": lambda: LstmOptions(embedding=6, widths=(7, 6), init_range=1.0).cell(),
    "rhn": lambda: RhnOptions(units=6, depth=2, init_range=1.0).cell(),
    "nas": lambda: NasOptions(units=6, init_range=1.0).cell(),
}
HEADS = {"softmax": None, "mixture": MixtureOptions(experts=2)}
SIGNATURES = [(name, "softmax", "step") for name in CELLS]
SIGNATURES += [("DARTS_V2", "softmax", "cell"), ("rhn", "softmax", "cell"), ("DARTS_V2", "mixture", "step")]
NONE_OF = {"HashTableV2", "LookupTableFindV2", "While", "StatelessWhile", "TensorListReserve", "EnsureShape"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A function of cell and head: the folder of their SavedModel, written once."""
    written = {}

    def write(cell, head):
        if (cell, head) not in written:
            options = HEADS[head]
            model = LanguageModel(
                len(WORDS.tokens),
                CELLS[cell](),
                ModelOptions(embedding_range=1.0),
                Mixture(options) if options else None,
            )
            model.initialise(tf.constant([1, 2]))
            written[cell, head] = tmp_path_factory.mktemp("models") / "model"
            saved_model.export(model, WORDS, RULES["text"], {}, written[cell, head])
        return str(written[cell, head])

    return write


def inputs(signature):
    """One row for a signature."""
    random = np.random.default_rng(0)
    return {
        name: np.array([2], np.int32)
        if spec.dtype == tf.int32
        else random.normal(size=(1, spec.shape[1])).astype(np.float32)
        for name, spec in signature.structured_input_signature[1].items()
    }


def computed(folder, key):
    """A row of inputs, and what TensorFlow makes of it."""
    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures[key]
    row = inputs(signature)
    return row, {name: value.numpy() for name, value in signature(**row).items()}


@pytest.mark.parametrize(("cell", "head", "key"), SIGNATURES)
def test_a_signature_without_words_has_no_table_and_no_loop(exported, cell, head, key):
    signature = tf.saved_model.load(exported(cell, head)).signatures[key]
    graph = signature.graph.as_graph_def()
    called, waiting = set(), [node for node in graph.node]
    functions = {function.signature.name: function for function in graph.library.function}
    while waiting:
        node = waiting.pop()
        called.add(node.op)
        for attribute in node.attr.values():
            if name := attribute.func.name:
                waiting += functions.pop(name).node_def if name in functions else []
    loops = {"While", "StatelessWhile", "TensorListReserve"}  # a mixture goes from expert to expert
    assert not called & (NONE_OF - loops if head == "mixture" else NONE_OF)


@pytest.mark.parametrize(("cell", "head", "key"), SIGNATURES)
def test_tflite_computes_the_same_with_builtin_operations(exported, cell, head, key):
    folder = exported(cell, head)
    row, wanted = computed(folder, key)
    converted = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[key]).convert()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow advises another package
        runner = tf.lite.Interpreter(model_content=converted).get_signature_runner(key)
    found = runner(**row)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("cell", "head", "key"), SIGNATURES)
def test_onnx_computes_the_same(exported, tmp_path, cell, head, key):
    convert = pytest.importorskip(
        "tf2onnx.convert", reason="tf2onnx is not installed: only this test needs it"
    )
    onnxruntime = pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed: only this test needs it"
    )
    folder = exported(cell, head)
    row, wanted = computed(folder, key)
    signature = (loaded := tf.saved_model.load(folder)).signatures[key]
    names = list(signature.structured_input_signature[1])
    specs = [signature.structured_input_signature[1][name] for name in names]

    @tf.function(input_signature=specs)
    def renamed(
        *values,
    ):  # the converter takes no output that is called as an input is, as `state` and `h` are
        return {
            f"{name}_after": out for name, out in signature(**dict(zip(names, values, strict=True))).items()
        }

    path = str(tmp_path / "model.onnx")
    convert.from_function(renamed, input_signature=specs, opset=15, output_path=path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    told = [out.name for out in session.get_outputs()]
    fed = {put.name: value for put in session.get_inputs() for name, value in row.items() if put.name == name}
    found = dict(zip(told, session.run(None, fed or row), strict=True))
    assert loaded is not None
    for name, value in wanted.items():
        np.testing.assert_allclose(found[f"{name}_after"], value, rtol=1e-6, atol=1e-6)
