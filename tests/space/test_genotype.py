"""Genotype: JSON round trip, each error, depths and the parameter counts of the thesis."""

import errno
import json
import math
import os
import random

import pytest

from bayesnas_tf.space.genotype import FORMAT, Genotype, Node, parameter_count
from bayesnas_tf.space.highway.published import random_cell
from tests.support import sizes

CELL = Genotype(
    (Node(0, "relu"), Node(1, "tanh"), Node(0, "identity")),
    (1, 2, 3),
    "example",
    {"config": "ptb", "seed": 0, "lambda_w": 0.17},
)


def edited(**changes):
    """The JSON object of `CELL` with some keys replaced."""
    return {**CELL.to_dict(), **changes}


def test_json_round_trip(tmp_path):
    path = tmp_path / "genotype.json"
    CELL.save(path)
    read = Genotype.load(path)
    assert read == CELL
    assert read.provenance == CELL.provenance
    assert json.loads(path.read_text()) == {
        "format": "bayesnas_tf.genotype/1",
        "nodes": [{"source": 0, "op": "relu"}, {"source": 1, "op": "tanh"}, {"source": 0, "op": "identity"}],
        "output": [1, 2, 3],
        "name": "example",
        "provenance": {"config": "ptb", "seed": 0, "lambda_w": 0.17},
    }


def test_name_and_provenance_may_be_missing():
    data = edited()
    del data["name"], data["provenance"]
    assert Genotype.from_dict(data).nodes == CELL.nodes


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "not a genotype"),
        ({}, FORMAT),
        (edited(format="bayesnas_tf.genotype/3"), FORMAT),
        (edited(format=FORMAT), "no 'space'"),
        (edited(format=FORMAT, space="other"), "unknown space 'other'. The spaces are highway"),
        (edited(nodes=None), "broken genotype"),
        (edited(nodes=[{"op": "relu"}]), "broken genotype: no 'source'"),
        (edited(nodes=["relu0"]), "broken genotype: no 'source' in 'relu0'"),
        (edited(nodes="relu0"), "must be a list"),
        (edited(nodes=[{"source": 0.9, "op": "relu"}]), "0.9 in 'source' must be a whole number"),
        (edited(nodes=[{"source": 0, "op": "relu"}, {"source": True, "op": "relu"}]), "True in 'source'"),
        (edited(nodes=[{"source": "0", "op": "relu"}]), "'0' in 'source'"),
        (edited(nodes=[{"source": 0, "op": 1}]), "1 in 'op' must be a text"),
        (edited(output="12"), "'12' in 'output' must be a list"),
        (edited(output=[1.5]), "1.5 in 'output'"),
        (edited(output=[True]), "True in 'output'"),
        (edited(output=[1, 2, 1]), "a node twice"),
        (edited(name=None), "None in 'name' must be a text"),
        (edited(provenance=None), "None in 'provenance' must be an object"),
        (edited(provenance=[["a", 1]]), "'provenance' must be an object"),
        (edited(nodes=[{"source": None, "op": "relu"}]), "broken genotype"),
        (edited(output=1), "broken genotype"),
        (edited(nodes=[]), "has no nodes"),
        (edited(nodes=[{"source": 1, "op": "relu"}]), r"node 1 of genotype 'example'.*one of 0\.\.0"),
        (edited(nodes=[{"source": -1, "op": "relu"}]), "input from node -1"),
        (edited(nodes=[{"source": 0, "op": "swish"}]), "unknown operation 'swish'"),
        (edited(output=[]), "must be in"),
        (edited(output=[4]), r"must be in 0\.\.3"),
        (edited(nodes=[{"source": math.inf, "op": "relu"}]), "inf in 'source' must be a whole number"),
        (edited(provenance={"lambda_w": math.inf}), "'provenance' is not JSON: Out of range"),
        (edited(provenance={"lambda_w": [{"a": math.nan}]}), "'provenance' is not JSON"),
        (edited(provenance={"a": {1, 2}}), "'provenance' is not JSON"),
        (edited(nodes=[{"source": 0, "op": "relu"}] * 10**6), "1000000 nodes, but a cell has at most 64"),
        (edited(output=list(range(10**6))), "1000000 output, but a cell has at most 64"),
        (edited(nodes=[{"source": 0, "op": "relu"}] * 65), "has 65 nodes, but a cell has at most 64"),
        (edited(nodes=[{"source": 10**300, "op": "relu"}]), r"one of 0\.\.0"),
        (edited(name="x" * 10**6), "its name has 1000000 characters"),
        (edited(nodes=[{"source": 0, "op": "x" * 10**5}]), f"unknown operation '{'x' * 60}'"),
        (edited(provenance="x" * 10**6), "'provenance' must be an object"),
    ],
)
def test_each_error_says_what_is_wrong(data, words):
    with pytest.raises(ValueError, match=words):
        Genotype.from_dict(data)


DEEP = "[" * 100_000 + "]" * 100_000
VALID = json.dumps(edited())
ODD = {
    "nothing": b"",
    "nested": DEEP.encode(),
    "nested inside": VALID.replace("0.17", DEEP).encode(),
    "objects in objects": b'{"a":' * 100_000,
    "infinite": VALID.replace("0.17", "1e999").encode(),
    "said infinite": VALID.replace("0.17", "Infinity").encode(),
    "no number": VALID.replace("0.17", "NaN").encode(),
    "digits": VALID.replace('"source": 0', '"source": ' + "9" * 5000).encode(),
    "no text": b"\x80\xff" + VALID.encode(),
    "utf-16": VALID.encode("utf-16"),
    "zero bytes": b"\0" * 100,
    "said twice": VALID.replace('"output":', '"output": [1], "output":').encode(),
    "too much": VALID.encode() + b" " * (5 << 20),
    "another provenance": json.dumps(edited(provenance=[1])).encode(),
}


@pytest.mark.parametrize("name", ODD)
def test_a_file_of_anything_else_is_one_short_line(tmp_path, name):
    path = tmp_path / "broken.json"
    path.write_bytes(ODD[name])
    with pytest.raises(ValueError, match=r"broken\.json: ") as error:
        Genotype.load(path)
    assert len(str(error.value)) < 1000
    assert "\n" not in str(error.value)


def test_a_file_without_end_is_refused_by_its_size(tmp_path):
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(1 << 33)
    for path in (tmp_path / "huge.json", "/dev/zero"):
        with pytest.raises(ValueError, match="too large for a genotype: more than 4,194,304 bytes"):
            Genotype.load(path)


def test_a_byte_order_mark_is_no_part_of_it(tmp_path):
    (tmp_path / "marked.json").write_bytes(b"\xef\xbb\xbf" + VALID.encode())
    assert Genotype.load(tmp_path / "marked.json") == CELL


def test_damage_gives_a_cell_or_one_error(tmp_path):
    path, generator = tmp_path / "cell.json", random.Random(0)
    for _ in range(2000):
        damaged = bytearray(VALID.encode())
        for _ in range(generator.randrange(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            assert Genotype.from_dict(Genotype.load(path).to_dict())
        except ValueError as error:
            assert str(path) in str(error)  # either is right


@pytest.mark.parametrize("text", ["{", "[]", json.dumps(edited(output=[9]))])
def test_load_names_the_file(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.json"):
        Genotype.load(path)


def test_a_cell_is_its_nodes_and_its_output_whatever_it_is_called():
    twin = Genotype(CELL.nodes, (3, 1, 2), "another name", {"config": "other"})
    assert twin == CELL
    assert hash(twin) == hash(CELL)
    assert twin.output == (1, 2, 3)
    assert Genotype(CELL.nodes, (1, 2), CELL.name) != CELL


def test_depths_and_short_form():
    assert CELL.depths() == [1, 2, 1]
    assert str(CELL) == "relu0 tanh1 identity0 -> mean 1 2 3"


@pytest.mark.parametrize(
    ("vocabulary", "units", "nodes", "expected"),
    [
        (10_000, 850, 8, 22_960_000),
        (10_000, 850, 6, 20_070_000),
        (33_278, 700, 8, 33_127_878),
        (33_278, 700, 6, 31_167_878),
    ],
)
def test_parameter_counts_of_tables_5_2_and_5_3(vocabulary, units, nodes, expected):
    cell = random_cell(0, nodes)
    assert (
        parameter_count(cell, vocabulary, units)
        == sizes.parameter_count(vocabulary, units, nodes)
        == expected
    )


def test_a_genotype_is_saved_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "genotype.json"
    CELL.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        CELL.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["genotype.json"]
