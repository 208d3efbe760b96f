"""Neighbours of a cell, as evolution makes them, in every space."""

import itertools

import numpy as np
import pytest

from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.space.memory.programs import INPUT
from bayesnas_tf.space.memory.space import Memory
from tests.support.toy import Toy

SPACES = {"highway": Highway(3), "memory": Memory(2), "memory, cap": Memory(2, cap=True), "toy": Toy()}
DRAWS = 400


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


def stream(seed):
    return np.random.PCG64(seed).random_raw


def differences(one, other):
    """What two cells have not in common: nodes, switches and products."""
    nodes = sum(a.source != b.source for a, b in zip(one.nodes, other.nodes, strict=True))
    nodes += sum(a.op != b.op for a, b in zip(one.nodes, other.nodes, strict=True))
    on = [set(cell.switches) - {"cap"} for cell in (one, other)]  # a cap comes and goes with its forget gate
    return nodes + len(on[0] ^ on[1]) + len(set(one.gated) ^ set(other.gated))


def walk(space, draws, seed=0):
    """Choices, each a mutation of the one before."""
    draw, found = stream(seed), [np.zeros_like(space.slots)]
    for _ in range(draws):
        found.append(space.mutated(found[-1], draw))
    return found


def test_a_mutation_is_a_cell_that_differs_in_one_thing(space):
    choices = walk(space, DRAWS)
    cells = [space.of_choice(choice) for choice in choices]  # each is checked as it is made
    assert {differences(*pair) for pair in itertools.pairwise(cells)} == {1}
    assert all(np.all((choice >= 0) & (choice < space.slots)) for choice in choices)


def test_a_mutation_is_a_function_of_its_draws_and_leaves_its_parent_alone(space):
    parent = np.zeros_like(space.slots)
    one, other = (space.mutated(parent, stream(3)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert not parent.any()
    np.testing.assert_array_equal(walk(space, 20, 5), walk(space, 20, 5))
    assert np.any(np.array(walk(space, 20, 5)) != walk(space, 20, 6))


def test_every_cell_is_reached(space):
    """A walk of neighbours sees all of a small space: 384 cells of the first, 1,600 of the second."""
    count = int(np.prod(space.slots))
    seen = {choice.tobytes() for choice in walk(space, 20 * count)}
    assert len(seen) == count


def test_every_thing_is_changed_as_often_and_to_every_other_value(space):
    draw, parent = stream(1), np.zeros_like(space.slots)
    found = np.array([space.mutated(parent, draw) for _ in range(4000)])
    free = np.flatnonzero(space.slots > 1)
    changed = (found != parent).reshape(len(found), -1)[:, free].mean(axis=0)
    deviation = np.sqrt((1 - 1 / free.size) / free.size / len(found))
    np.testing.assert_allclose(changed, 1 / free.size, atol=5 * deviation)
    for place in free:
        values = set(found.reshape(len(found), -1)[:, place])
        assert values == set(range(space.slots.flat[place]))


def test_a_space_with_products_changes_sources_operations_products_and_switches():
    space = SPACES["memory"]
    first = space.of_choice(np.zeros_like(space.slots))
    found = [space.of_choice(space.mutated(np.zeros_like(space.slots), stream(seed))) for seed in range(200)]
    assert {cell.switches for cell in found} == {(), *((name,) for name in INPUT)}
    assert {cell.gated for cell in found} == {(), (1,), (2,)}
    assert {cell.nodes[1].source for cell in found} == {0, 1}
    assert len({cell.nodes[0].op for cell in found}) == 5
    assert all(cell != first for cell in found)
