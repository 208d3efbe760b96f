"""Regularised evolution without a network: who lives, who is a parent, and that it descends."""

import types

import numpy as np
import pytest

from bayesnas_tf.space.memory.space import Memory
from bayesnas_tf.training.strategies.evolution import ageing
from bayesnas_tf.training.strategies.evolution.options import EvolutionOptions
from bayesnas_tf.training.strategies.evolution.strategy import Evolution

POPULATION = 4
SPACE = Memory(4)


def test_the_oldest_dies_whatever_its_score():
    """As the queue of the paper: append a child, remove from the other end."""
    queue = list(range(POPULATION))
    for number in range(POPULATION, 20):
        assert list(ageing.alive(number, POPULATION)) == queue
        queue = [*queue[1:], number]


def test_a_parent_is_the_best_of_those_drawn_and_lives():
    nats = np.array([0.0, 9.0, 5.0, 7.0, 6.0, 8.0])  # the best of all is dead
    living = range(2, 6)
    everyone = {ageing.parent(living, nats, 1, ageing.stream(seed, 6)) for seed in range(60)}
    assert everyone == set(living)
    assert {ageing.parent(living, nats, 40, ageing.stream(seed, 6)) for seed in range(20)} == {2}
    drawn = [ageing.parent(living, nats, 2, ageing.stream(seed, 6)) for seed in range(4000)]
    shares = np.array([drawn.count(number) for number in (2, 4, 3, 5)]) / len(drawn)
    np.testing.assert_allclose(shares, np.array([7, 5, 3, 1]) / 16, atol=0.04)  # with replacement


def test_draws_depend_on_seed_and_child_alone():
    draws = {(seed, number): ageing.stream(seed, number)() for seed in range(3) for number in range(3)}
    assert len(set(draws.values())) == 9
    assert ageing.stream(2, 1)() == draws[2, 1]


def evolution(seed, cells, nats, sample=2):
    """The strategy without a loop; `nats` `[cells, W]`, which may be filled later."""
    found = Evolution.__new__(Evolution)
    found.options = EvolutionOptions(cells, POPULATION, sample)
    found.loop, found.space = types.SimpleNamespace(seed=seed), SPACE
    first = np.random.default_rng(seed).integers(SPACE.slots, size=(POPULATION, *SPACE.slots.shape))
    found.choices, found.tried = list(first), types.SimpleNamespace(nats=types.SimpleNamespace())
    found.tried.nats.numpy = lambda: nats
    return found


def evolved(seed, cells, score, sample=2):
    """The choices of a search, each scored before the next is made, and the strategy."""
    nats = np.full((cells, 1), np.inf)
    strategy = evolution(seed, cells, nats, sample)
    for number in range(cells):
        nats[number] = score(strategy.choice(number))
    return np.array(strategy.choices), strategy, nats


def right(choice):
    """How much of a choice is not at its highest value."""
    return float((choice != SPACE.slots - 1).sum())


@pytest.mark.parametrize("seed", range(3))
def test_a_child_differs_in_one_thing_from_a_cell_that_lives(seed):
    choices, _, _ = evolved(seed, 30, right)
    for number in range(POPULATION, 30):
        living = choices[ageing.alive(number, POPULATION)]
        assert 1 in (living != choices[number]).reshape(POPULATION, -1).sum(axis=1)


def test_a_resumed_search_makes_the_same_children_from_the_scores_that_it_has():
    choices, _, nats = evolved(0, 20, right)
    for done in (0, POPULATION, 11):
        known = np.where(np.arange(20)[:, np.newaxis] < done, nats, np.inf)
        strategy = evolution(0, 20, known)  # its first question is the cell under way
        np.testing.assert_array_equal(strategy.choice(done), choices[done])


def test_selection_descends_and_chance_does_not():
    def last(seed, score):
        choices, _, _ = evolved(seed, 150, score, sample=4)
        return np.mean([right(choice) for choice in choices[-20:]])

    by_score = [last(seed, right) for seed in range(3)]
    by_chance = [last(seed, lambda _: 1.0) for seed in range(3)]
    assert max(by_score) + 2.0 < min(by_chance)
