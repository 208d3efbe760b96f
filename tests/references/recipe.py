"""Recipes of NAS-Bench-NLP in NumPy float64, value by value as they are written; dead ones too."""

import numpy as np


def sigmoid(a):
    """1 / (1 + exp(-a))."""
    return 1.0 / (1.0 + np.exp(-a))


def summed(*x):
    """x_1 + x_2 + ..."""
    total = x[0]
    for part in x[1:]:
        total = total + part
    return total


OPERATIONS = {
    "blend": lambda a, b, c: a * b + (1.0 - a) * c,
    "elementwise_prod": lambda a, b: a * b,
    "elementwise_sum": summed,
    "activation_tanh": np.tanh,
    "activation_sigm": sigmoid,
    "activation_leaky_relu": lambda a: np.where(a > 0.0, a, 0.01 * a),
}


def step(recipe, matrices, biases, x, before):
    """All values of one step by name.

    `recipe` is the JSON object; `matrices` maps (linear value, number of its input) to W, `biases` the linear
    value to b; `before` are the states of the step before, `[B, U]` by number.
    """
    known = {"x": x, **{f"h_prev_{k}": state for k, state in before.items()}}

    def value(name):
        if name not in known:
            given = [value(one) for one in recipe[name]["input"]]
            if recipe[name]["op"] == "linear":
                terms = [part @ matrices[name, number] for number, part in enumerate(given)]
                known[name] = summed(*terms, biases[name])
            else:
                known[name] = OPERATIONS[recipe[name]["op"]](*given)
        return known[name]

    for name in recipe:
        value(name)
    return known


def window(recipe, matrices, biases, xs, states):
    """All outputs, `[T, B, U]`, and the states after the last step, from inputs `[T, B, K]`."""
    outputs = []
    for x in xs:
        known = step(recipe, matrices, biases, x, states)
        outputs.append(known["h_new_0"])
        states = {k: known[f"h_new_{k}"] for k in states}
    return np.stack(outputs), states


def parameters(recipe, vocabulary, units):
    """Of a language model with a tied softmax: embedding, decoder bias, matrices and biases."""
    linear = [value["input"] for value in recipe.values() if value["op"] == "linear"]
    return vocabulary * units + vocabulary + sum(len(read) * units**2 + units for read in linear)
