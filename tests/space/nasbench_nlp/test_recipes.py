"""Recipes as they are read: what is live, what is refused, and where they are found."""

import json
import lzma

import pytest

from bayesnas_tf import config, search
from bayesnas_tf.data import nasbench_nlp as tables
from bayesnas_tf.errors import UserError
from bayesnas_tf.reporting import cell_drawing
from bayesnas_tf.space import base, known
from bayesnas_tf.space import recipe as recipes
from bayesnas_tf.space.genotype import FORMAT, Genotype, units_for
from tests.references import recipe as reference
from tests.support import tiny
from tests.support.recipes import DATA, RECIPES, TABLE, cell, needs_tables, of, write_table

RNN = RECIPES["rnn"]


def test_what_the_output_does_not_need_is_dropped():
    live = cell(RECIPES["hidden"])
    assert [value.name for value in live.recipe] == ["a", "h_new_2", "h_new_0"]
    assert recipes.states(live.recipe) == [2]
    assert str(live) == "a=linear(x h_prev_2) h_new_2=leaky_relu(a) h_new_0=linear(h_new_2 x)"
    assert len(cell(RECIPES["odd"]).recipe) == len(RECIPES["odd"])


def test_a_cell_does_not_depend_on_the_order_of_its_file():
    turned = dict(reversed(RECIPES["odd"].items()))
    assert cell(turned) == cell(RECIPES["odd"]) != cell(RECIPES["gru"])
    assert str(cell(turned)) == str(cell(RECIPES["odd"]))


@pytest.mark.parametrize("name", RECIPES)
def test_a_genotype_file_holds_the_whole_recipe(name, tmp_path):
    first = cell(RECIPES[name], name)
    first.save(tmp_path / "genotype.json")
    read = Genotype.load(tmp_path / "genotype.json")
    assert (read, read.name) == (first, name)
    assert first.to_dict().keys() == {"format", "space", "recipe", "name", "provenance"}
    assert first.to_dict()["format"] == FORMAT
    assert read.graph() == first.graph()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_drawn(name):
    genotype = cell(RECIPES[name], name)
    graph, states = genotype.graph(), recipes.states(genotype.recipe)
    ends = {f"h{k}_t" for k in {0, *states}}
    assert set(graph.outputs) == ends and len(graph.inputs) == 1 + len(states)
    assert all(graph.into(node.name) for node in graph.nodes) and all(map(graph.into, ends))
    named = {*graph.inputs, *graph.outputs, *(node.name for node in graph.nodes)}
    assert {end for edge in graph.edges for end in edge[:2]} <= named
    assert len(cell_drawing.caption(genotype).line) <= cell_drawing.WIDE
    assert cell_drawing.svg(genotype).startswith("<svg")
    assert cell_drawing.dot(genotype).count(" -> ") == len(graph.edges)
    assert len(genotype.depths()) == len(graph.learned())


def test_units_follow_from_a_budget_of_parameters():
    genotype = cell(RECIPES["lstm"])
    units = units_for(genotype, 2000, 380_000)
    counts = [reference.parameters(RECIPES["lstm"], 2000, u) for u in (units, units + 1)]
    assert counts[0] <= 380_000 < counts[1]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (None, "must be an object"),
        ({}, "must be an object"),
        ([], "must be an object"),
        ({f"v{k}": {"op": "linear", "input": ["x"]} for k in range(65)}, "65 values"),
        ({"h_new_0": {"input": ["x"]}}, "'h_new_0' has no 'op'"),
        ({"h_new_0": {"op": "linear"}}, "must be a list of names"),
        ({"h_new_0": {"op": "linear", "input": "x"}}, "must be a list of names"),
        ({"h_new_0": {"op": "linear", "input": []}}, "0 inputs"),
        ({"a b": {"op": "linear", "input": ["x"]}}, "is not a name"),
        (of(f="linear x"), "no 'h_new_0'"),
        (of(h_new_0="activation_tanh f"), "'h_new_0' reads 'f', which does not exist"),
        (of(h_new_0="linear x h_prev_1"), "there is no 'h_new_1'"),
        (of(h_new_0="linear x h_prev_01"), "which does not exist"),
        ({**RNN, "dead": of(a="linear y")["a"]}, "'dead' reads 'y'"),
        (of(h_new_0="linear x a", a="activation_tanh b", b="activation_tanh a"), "'a' depends on itself"),
        ({**RNN, "dead": of(a="activation_tanh dead")["a"]}, "'dead' depends on itself"),
        (of(h_new_0="linear h_prev_0"), "does not depend on x"),
        (of(x="linear h_prev_0", h_new_0="linear x"), "'x' is the name of an input"),
        ({**RNN, "h_prev_0": of(a="linear x")["a"]}, "'h_prev_0' is the name of an input"),
        (of(h_new_0="swish x"), "unknown operation 'swish'"),
        (of(f="linear x", h_new_0="blend f f"), "'h_new_0' has 2 inputs, but 'blend' takes 3"),
        (of(f="linear x", h_new_0="elementwise_sum f"), "takes 2 to 16"),
        (of(f="linear x", h_new_0="elementwise_prod f x"), "x may enter only 'linear'"),
    ],
)
def test_a_malformed_recipe_is_one_line(recipe, said, tmp_path):
    data = {"format": FORMAT, "space": "nasbench_nlp", "recipe": recipe, "name": "broken"}
    (tmp_path / "cell.json").write_text(json.dumps(data))
    with pytest.raises(UserError) as error:
        known.find_genotype(str(tmp_path / "cell.json"), 0)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"space": "highway"}, "has a recipe, and the space 'highway' has none"),
        ({"output": [1]}, "a cell has only a recipe"),
        ({"input": {"cap": True}}, "has nodes, an output or switches"),
        ({"recipe": None}, "must be an object"),
    ],
)
def test_a_recipe_stands_alone_and_in_its_own_space(changed, said):
    with pytest.raises(ValueError, match=said):
        Genotype.from_dict({**cell(RNN).to_dict(), **changed})


@pytest.mark.parametrize("packed", [False, True])
def test_a_cell_is_found_in_a_table_of_the_data_folder(packed, tmp_path):
    write_table(tmp_path)
    plain = tmp_path / "nasbench_nlp" / "ptb.jsonl"
    if packed:
        plain.with_name("ptb.jsonl.xz").write_bytes(lzma.compress(plain.read_bytes()))
        plain.unlink()
    found = tables.find_genotype("nasbench-2", 0, tmp_path)
    assert (found, found.name) == (cell(RECIPES["lstm"]), "nasbench-2")
    assert "cell 2" in found.provenance["source"]


def test_the_second_table_has_what_the_first_lacks_and_logs_what_both_lack(tmp_path):
    write_table(tmp_path)
    folder = tmp_path / "nasbench_nlp"
    (folder / "wikitext2.jsonl").write_text(json.dumps({"id": 70, "recipe": RECIPES["gru"]}))
    (folder / "logs").mkdir()
    log = {"recepie_id": 80, "recepie": json.dumps(RNN)}
    (folder / "logs" / "log_stats_model_80_2020-04-13_99.json").write_text(json.dumps(log))
    assert tables.find_genotype("nasbench-70", 0, tmp_path) == cell(RECIPES["gru"])
    assert tables.find_genotype("nasbench-80", 0, tmp_path) == cell(RNN)


def test_a_cell_that_is_not_found_says_what_to_fetch_and_where_to_put_it(tmp_path):
    write_table(tmp_path)
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError) as error:
            tables.find_genotype("nasbench-99", 0, folder)
        parts = [str(folder / "nasbench_nlp"), "fmsnew/nas-bench-nlp-release", "training-free-nas", "\n"]
        assert [part in str(error.value) for part in parts] == [True, True, True, False]
    with pytest.raises(UserError, match="nasbench-ID"):
        tables.find_genotype("nasbench-LSTM", 0, tmp_path)


@pytest.mark.parametrize("content", [b"no json", b'{"id": 1', b"[1]", b'{"recipe": {}}', b"\xff\xfe"])
@pytest.mark.parametrize("file", ["ptb.jsonl", "ptb.jsonl.xz", "log_stats_model_1_a.json"])
def test_a_damaged_table_is_named(file, content, tmp_path):
    path = tmp_path / "nasbench_nlp" / file
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        tables.find_genotype("nasbench-1", 0, tmp_path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@needs_tables
def test_every_published_recipe_is_a_cell_but_two_that_do_not_read_their_input():
    refused = []
    for number in tables.read(TABLE):
        try:
            found = tables.find(f"nasbench-{number}", DATA)
        except UserError as error:
            assert "does not depend on x" in str(error)
            refused.append(number)
        else:
            assert Genotype.from_dict(found.to_dict()) == found
            assert base.named(found.space).discrete(found).inputs
    assert sorted(refused) == [1012531, 1013147]


def test_nothing_searches_these_cells(tmp_path, capfd):
    tiny.write(tmp_path)
    flags = tiny.command(tmp_path, "run", "--gin_param=CellOptions.space='nasbench_nlp'")
    assert config.run_command(search.main, "search", flags) == 1
    error = capfd.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "only known cells: it cannot be searched. Choose one of highway, memory" in error
