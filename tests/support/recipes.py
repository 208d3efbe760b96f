"""Recipes of NAS-Bench-NLP: a few written here, and the published tables where they are at hand."""

import json

import pytest

from bayesnas_tf.space import recipe as recipes
from bayesnas_tf.space.genotype import Genotype
from tests.conftest import ROOT

DATA = ROOT.parent / "shared" / "data"  # what --data_dir would be
TABLE = DATA / "nasbench_nlp" / "ptb.jsonl.xz"
needs_tables = pytest.mark.skipif(
    not TABLE.is_file(),
    reason="no ../shared/data/nasbench_nlp: the published tables are not distributed with this repository",
)


def of(**values):
    """A recipe from `name="op input input"`."""
    return {
        name: {"op": op, "input": inputs}
        for name, (op, *inputs) in ((k, v.split()) for k, v in values.items())
    }


LINEAR, TANH, SIGM = "linear x h_prev_0", "activation_tanh", "activation_sigm"
RECIPES = {
    "rnn": of(f=LINEAR, h_new_0=f"{TANH} f"),
    "lstm": of(
        i=LINEAR, i_act=f"{TANH} i", j=LINEAR, j_act=f"{SIGM} j",
        f=LINEAR, f_act=f"{SIGM} f", o=LINEAR, o_act=f"{SIGM} o",
        kept="elementwise_prod f_act h_prev_1", new="elementwise_prod i_act j_act",
        h_new_1="elementwise_sum kept new", h_new_1_act=f"{TANH} h_new_1",
        h_new_0="elementwise_prod h_new_1_act o_act",
    ),
    "gru": of(
        r=LINEAR, r_act=f"{SIGM} r", z=LINEAR, z_act=f"{SIGM} z", rh="elementwise_prod r_act h_prev_0",
        h="linear x rh", h_act=f"{TANH} h", h_new_0="blend z_act h_prev_0 h_act",
    ),
    # the output is no state, and what makes state 1 is dead
    "hidden": of(
        a="linear x h_prev_2", h_new_2="activation_leaky_relu a", h_new_0="linear h_new_2 x",
        h_new_1=f"{TANH} b", b="linear h_prev_1", c="elementwise_prod b dead", dead=f"{SIGM} a",
    ),
    # one value twice, three terms, a state that is a linear value and one that only later states need
    "odd": of(
        a="linear x", b=f"{SIGM} a", c="linear b h_prev_1 h_prev_0 b", d="elementwise_prod c c",
        e="elementwise_sum a b d", f="blend b b h_prev_1", h_new_1="linear f h_prev_2",
        h_new_2="activation_leaky_relu h_prev_0", h_new_0="blend e h_new_1 c",
    ),
}  # fmt: skip


def cell(recipe, name="cell"):
    """The genotype of a recipe."""
    return Genotype((), (), name, space="nasbench_nlp", recipe=recipes.from_dict(recipe))


def write_table(folder, file="ptb.jsonl"):
    """A table of the recipes of this module in a data folder; their ids are 1, 2, ..."""
    (folder / "nasbench_nlp").mkdir(parents=True, exist_ok=True)
    rows = [{"id": number, "recipe": recipe} for number, recipe in enumerate(RECIPES.values(), start=1)]
    (folder / "nasbench_nlp" / file).write_text("\n".join(map(json.dumps, rows)) + "\n")
