"""Recipes as programs: equal to the interpreter in NumPy, and their gradients to differences of it."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.reading import Purpose
from bayesnas_tf.cells.scan import by_time
from bayesnas_tf.data import nasbench_nlp as tables
from bayesnas_tf.numerics.execution import Execution
from bayesnas_tf.space import recipe as recipes
from bayesnas_tf.space.genotype import parameter_count
from tests.references import recipe as reference
from tests.support.recipes import DATA, RECIPES, TABLE, cell, needs_tables

B, U, T = 3, 4, 3
PUBLISHED = (1000001, 1000002)  # an LSTM and a GRU, in the table of WikiText-2
DRAWN = 30
STEP = 1e-6  # of differences in float64: their error is about 1e-9


@functools.cache
def drawn():
    """Thirty published recipes by id, the same for each test."""
    rows = tables.read(TABLE)
    reads_x = [number for number in sorted(rows) if number not in (1012531, 1013147)]
    chosen = np.random.default_rng(0).choice(reads_x, DRAWN, replace=False)
    return {int(number): rows[int(number)]["recipe"] for number in chosen}


def published(number):
    """A recipe of the tables."""
    return recipes.to_dict(tables.find(f"nasbench-{number}", DATA).recipe)


def built(recipe):
    """The cell of a recipe with random weights, and their matrices and biases as the twin has them."""
    genotype = cell(recipe)
    made = DerivedCell(genotype, DerivedOptions(U), dtype="float64")
    made.build((B, U))
    made.built = True
    draw = np.random.default_rng(1)
    for weight in made.weights:
        weight.assign(0.6 * draw.normal(size=weight.shape))
    return made, *as_twin(made, [w.numpy() for w in made.weights])


def as_twin(made, values):
    """Matrices and biases from the weights: those that one value meets lie side by side, in live order."""
    named = dict(zip((weight.name for weight in made.weights), values, strict=True))
    places = {value.name: number for number, value in enumerate(made.genotype.recipe, start=1)}
    width, matrices, biases = {}, {}, {}
    for value in made.genotype.recipe:
        if value.op != "linear":
            continue
        biases[value.name] = named[f"bias_{places[value.name]}"]
        for number, source in enumerate(value.inputs):
            k = recipes.state_before(source)
            own = "kernel" if source == "x" else f"source_kernel_{places.get(source)}"
            kernel = named[own if k is None else f"recurrent_kernel_{k}"]
            start = width.get(source, 0)
            matrices[value.name, number] = kernel[:, start : start + U]
            width[source] = start + U
    return matrices, biases


def given(made):
    """Inputs [B, T, U], and states by number."""
    draw = np.random.default_rng(2)
    x = draw.normal(size=(B, T, U))
    return x, {int(name[1:]): 0.5 * draw.normal(size=(B, U)) for name in made.program.state}


def window(made, x, states, staged):
    """All values that end a step, in the staged form or in the plain loop."""
    reading = made.read(purpose=Purpose(training=staged), execution=Execution(cell=staged))
    assert bool(reading.staged) == staged
    projected = reading.project_inputs(tf.convert_to_tensor(x))
    return by_time(reading, projected, list(map(tf.convert_to_tensor, states.values())))


def check_forward(recipe, staged=False):
    """The cell is its twin, states too."""
    made, matrices, biases = built(recipe)
    x, states = given(made)
    live = recipes.to_dict(made.genotype.recipe)  # a dead linear value has no weights
    expected, last = reference.window(live, matrices, biases, x.transpose(1, 0, 2), states)
    found = window(made, x, states, staged)
    np.testing.assert_allclose(found["h0"], expected, rtol=1e-12, atol=1e-13)
    for k, state in last.items():
        np.testing.assert_allclose(found[f"h{k}"][-1], state, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_equals_the_interpreter(name, staged):
    check_forward(RECIPES[name], staged)


@needs_tables
@pytest.mark.parametrize("place", [*PUBLISHED, *range(DRAWN)])
def test_a_published_recipe_equals_the_interpreter(place):
    check_forward(published(place) if place in PUBLISHED else list(drawn().values())[place])


@pytest.mark.parametrize("name", ["lstm", "hidden", "odd"])
def test_gradients_are_those_of_finite_differences(name):
    made, *_ = built(RECIPES[name])
    x, states = given(made)
    draw, live = np.random.default_rng(3), recipes.to_dict(made.genotype.recipe)
    upstream = draw.normal(size=(T, B, U))

    def loss(values):
        found, _ = reference.window(live, *as_twin(made, values), x.transpose(1, 0, 2), states)
        return np.sum(found * upstream)

    values = [weight.numpy() for weight in made.weights]
    along = [draw.normal(size=value.shape) for value in values]
    ends = [loss([v + sign * STEP * a for v, a in zip(values, along, strict=True)]) for sign in (1, -1)]
    for staged in (False, True):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(window(made, x, states, staged)["h0"] * upstream)
        gradients = tape.gradient(total, made.trainable_variables)
        found = sum(np.sum(g * a) for g, a in zip(gradients, along, strict=True))
        np.testing.assert_allclose(found, (ends[0] - ends[1]) / (2 * STEP), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", RECIPES)
def test_the_staged_form_has_the_gradient_of_the_plain_one(name):
    made, *_ = built(RECIPES[name])
    x, states = given(made)
    upstream = np.random.default_rng(3).normal(size=(T, B, U))
    both = []
    for staged in (False, True):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(window(made, x, states, staged)["h0"] * upstream)
        both.append(tape.gradient(total, made.trainable_variables))
    for weight, plain, found in zip(made.trainable_variables, *both, strict=True):
        np.testing.assert_allclose(found, plain, rtol=1e-10, atol=1e-12, err_msg=weight.name)


@pytest.mark.parametrize("name", RECIPES)
def test_parameters_are_counted(name):
    genotype = cell(RECIPES[name])
    counted = parameter_count(genotype, 100, U)
    assert counted == reference.parameters(recipes.to_dict(genotype.recipe), 100, U)
    made, *_ = built(RECIPES[name])
    assert sum(int(np.prod(weight.shape)) for weight in made.weights) == counted - 100 * U - 100
