"""Gin files: where they are found, what they may say, and what is said when they are wrong."""

import gin
import pytest

from bayesnas_tf import config
from bayesnas_tf.config import gin_files
from bayesnas_tf.errors import UserError
from tests import configurables

MODULES = ("tests.configurables",)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def toy_options():
    """The options as configured: `@gin.register` leaves the class itself as it is."""
    return gin.get_configurable(configurables.ToyOptions)()


def message(files=(), params=()):
    """The one line that a wrong configuration gives."""
    with pytest.raises(UserError) as caught:
        config.parse(files, params, MODULES)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_later_files_and_parameters_win(here):
    write(here, "a.gin", "UNITS = 5\nToyOptions.units = %UNITS\nToyOptions.rate = 0.1\n")
    write(here, "b.gin", "include 'a.gin'\nToyOptions.rate = 0.2\n")
    config.parse(["b.gin"], ["UNITS = 7", "ToyOptions.norm='mean'"], MODULES)
    options = toy_options()
    assert (options.units, options.rate, options.norm) == (7, 0.2, "mean")


def test_references_scopes_blocks_and_nested_macros_reach_gin(here):
    text = """
    BASE = 3.0
    toy_schedule.base = %BASE
    wide/ToyOptions.units = 9
    toy_loop:
      options = @wide/ToyOptions()
      schedule = [@toy_schedule(), %BASE]
      extra = {'a': (%BASE, 1)}
    """
    write(here, "a.gin", text)
    config.parse(["a.gin"], modules=MODULES)
    options, schedule, anything = gin.get_configurable("toy_loop")()
    assert options.units == 9
    assert schedule == [6.0, 3.0]
    assert anything == {"extra": {"a": (3.0, 1)}}


def test_the_text_of_a_configuration_parses_to_itself(here):
    write(
        here,
        "a.gin",
        "import os.path\nUNITS = 5  # why\ns/ToyOptions.units = %UNITS\ntoy_loop.options = @ToyOptions()\n",
    )
    text = config.parse(["a.gin"], ["ToyOptions.widths = (1, 2)"], MODULES)
    write(here, "again.gin", text)
    assert config.parse(["again.gin"], modules=MODULES) == text


@pytest.mark.parametrize("folder", [".", "gin"])
def test_files_are_found_here_and_in_gin(here, folder):
    path = write(here, f"{folder}/sub/mine.gin", "")
    assert gin_files.find("sub/mine.gin").samefile(path)


def test_a_file_here_comes_before_one_in_gin(here):
    write(here, "gin/mine.gin", "")
    path = write(here, "mine.gin", "")
    assert gin_files.find("mine.gin").samefile(path)


def test_the_files_of_the_checkout_are_found_from_anywhere(here, root):
    for path in (root / "gin").rglob("*.gin"):
        assert gin_files.find(path.relative_to(root / "gin").as_posix()).samefile(path)


def test_includes_are_relative_to_the_gin_folder(here):
    write(here, "gin/base/one.gin", "ToyOptions.units = 3")
    write(here, "gin/studies/two.gin", "include 'base/one.gin'")
    config.parse(["studies/two.gin"], modules=MODULES)
    assert toy_options().units == 3


def test_a_missing_file_names_the_places_and_the_nearest(here):
    write(here, "gin/quickstart.gin", "")
    text = message(["quikstart.gin"])
    assert str(here / "gin") in text
    assert "did you mean 'quickstart.gin'?" in text


def test_a_missing_include_names_the_line(here):
    write(here, "a.gin", "# first\ninclude 'b.gin'\n")
    assert "a.gin, line 2" in message(["a.gin"])


def test_a_file_that_includes_itself_is_refused(here):
    write(here, "a.gin", "include 'b.gin'")
    write(here, "b.gin", "include 'a.gin'")
    assert "includes itself" in message(["a.gin"])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("X = \n", ["a.gin, line 1"]),
        ("# one\nToyOptions.norm = mean\n", ["a.gin, line 2", "'mean', in quotes"]),
        (
            "ToyOptions.path = texts/my.txt\n",
            ["a.gin, line 1", "write the text as 'texts/my.txt', in quotes"],
        ),
        ("ToyOptions.rate = 0,6\n", ["a.gin, line 1", "one value behind the = sign, with a point"]),
        ("ToyOptions.widths = (1,\n", ["a.gin", "Close every bracket"]),
        ("hello world\n", ["a.gin, line 1", "hello world"]),
        ("ToyOptons.units = 3\n", ["'ToyOptons'", "a.gin, line 1", "did you mean 'ToyOptions'?"]),
        ("ToyOptons:\n  units = 3\n", ["'ToyOptons'", "did you mean 'ToyOptions'?"]),
        ("ToyOptions.unit = 3\n", ["'unit'", "a.gin, line 1", "did you mean 'units'?"]),
        ("ToyOptions.xyz = 3\n", ["'xyz'", "It has units, rate"]),
        ("toy_loop.options = @ToyOption()\n", ["'ToyOption'", "did you mean 'ToyOptions'?"]),
        ("RATE = 1.0\nToyOptions.rate = %RATES\n", ["%RATES", "a.gin, line 2", "did you mean 'RATE'?"]),
        ("RATE = 1.0\nRTAE = 2.0\nToyOptions.rate = %RATE\n", ["'RTAE'", "line 2", "did you mean 'RATE'?"]),
        ("import no_such_module\n", ["no_such_module", "a.gin, line 1"]),
    ],
)
def test_a_wrong_file_names_place_and_cure(here, text, parts):
    write(here, "a.gin", text)
    found = message(["a.gin"])
    assert all(part in found for part in parts), found


@pytest.mark.parametrize(
    ("param", "parts"),
    [
        ("ToyOptions.units = 1.5", ["1.5", "a whole number", "--gin_param"]),
        ("ToyOptions.units = True", ["True", "a whole number"]),
        ("ToyOptions.rate = 'fast'", ["'fast'", "a number"]),
        ("ToyOptions.switch = 1", ["True or False"]),
        ("ToyOptions.norm = 'bacth'", ["one of 'batch', 'mean', 'none'", "did you mean 'batch'?"]),
        ("ToyOptions.limit = 'all'", ["a whole number or None"]),
        ("ToyOptions.widths = (1, 'a')", ["a tuple of whole numbers"]),
        ("toy_schedule.factor = 'a'", ["toy_schedule.factor", "a number"]),
        ("ToyOptions.path = 3", ["a text"]),
        ("UNITS", ["NAME=VALUE"]),
        ("UNITS = 3", ["no setting uses the macro 'UNITS'"]),
    ],
)
def test_a_wrong_parameter_names_value_and_cure(here, param, parts):
    found = message(params=[param])
    assert all(part in found for part in parts), found


def test_a_macro_of_the_wrong_type_is_reported_where_it_is_set(here):
    write(here, "a.gin", "ToyOptions.units = %UNITS\nUNITS = 'many'\n")
    assert "a.gin, line 2 (UNITS, used in a.gin, line 1)" in message(["a.gin"])


def test_a_macro_may_stand_for_another(here):
    config.parse(params=["A = %B", "B = 3", "ToyOptions.units = %A"], modules=MODULES)
    assert toy_options().units == 3


def test_a_wrong_configuration_binds_nothing(here):
    message(params=["ToyOptions.units = 9", "ToyOptions.rate = 'fast'"])
    assert toy_options().units == 4
