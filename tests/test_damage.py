"""Every file of a run directory and of a SavedModel, damaged in every way, under every command that reads it.

A command ends with the result of the healthy files, or with one line that names the file and the cure. The
runs are those of `test_old_runs`, tied to their configuration, cell and vocabulary as runs of today are.
"""

import json
import shutil
from typing import NamedTuple

import pytest

from bayesnas_tf import config
from bayesnas_tf.commands import curvature as curvature_command
from bayesnas_tf.config import stored
from bayesnas_tf.errors import UserError
from bayesnas_tf.reporting import run_files
from bayesnas_tf.sweeping.ledger import Ledger
from bayesnas_tf.training import trained_files
from bayesnas_tf.training.records import RunFacts
from tests import test_old_runs
from tests.reporting.test_run_files import update
from tests.support.damages import ALL, DAMAGES, JSON

MAINS = {**test_old_runs.MAINS, "curvature": curvature_command.run_curvature}
kept = test_old_runs.kept  # a fixture: what an earlier version left, extracted once


class Told(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self):
        return next((line for line in self.err.splitlines() if line.startswith("error: ")), "")


class Case(NamedTuple):
    """A file of a run, its damage, and how the command is to end.

    `fails`: in one line. Else with the result, and with `says` where something is computed again.
    """

    command: str
    run: str
    file: str
    damage: str
    fails: bool = True
    says: str = ""


def named(case):
    return f"{case.command} {case.run} {case.file} {case.damage}".replace("-of-00001", "")


@pytest.fixture(scope="module")
def whole(kept):
    """The healthy files."""
    for run in ("search", "evaluate"):
        tie(kept / "runs" / run)
    return kept


@pytest.fixture
def old(whole):
    """A copy of them to damage, always at one place: what a command says may hold its path."""
    folder = whole.with_name("copy")
    shutil.rmtree(folder, ignore_errors=True)
    return shutil.copytree(whole, folder)


HEALTHY = {}  # what commands say of healthy files, by command and run, once it is known


def tie(run):
    """Pin what today's runs pin."""
    pins = stored.pins(run) | {"configuration": stored.configuration_digest((run / "config.gin").read_text())}
    if (run / "vocabulary.txt").exists():
        pins["cell"] = str(trained_files.read_genotype(run))
        pins["vocabulary"] = trained_files.digest_of(trained_files.read_vocabulary(run))
    (run / "pins.json").write_text(json.dumps(pins))


def flags(command, run, folder):
    """The flags of a command on a run of the fixture."""
    directory = folder / "runs" / run
    if command in ("search", "evaluate"):
        return test_old_runs.again(folder, run)[1]
    return {
        "export": [f"--run={directory}", f"--out={folder / 'model'}", "--dry_run"],
        "curvature": [f"--run={directory}", f"--data_dir={folder / 'data'}", "--dry_run"],
        "report": [f"--runs={directory}", f"--out={folder / 'report.html'}"],
        "score": [f"--model={directory / 'saved_model'}", f"--text={folder / 'data/corpus.txt'}"],
    }[command]


def told(command, run, folder, capfd):
    capfd.readouterr()
    code = config.run_command(MAINS[command], command, flags(command, run, folder))
    return Told(code, *capfd.readouterr())


def judged(case, found, folder):
    """That a command ended as it must: in one line that names file and cure, or without any error."""
    assert "Traceback" not in found.err, found.err
    assert found.code == (1 if case.fails else 0), found
    if not case.fails:
        assert not found.error, found
        assert case.says in found.out + found.err, found
        return
    assert found.err.splitlines()[-1] == found.error, found  # nothing follows it
    assert found.err.count("error: ") == 1, found
    assert "Add --verbose" not in found.error
    assert "Expecting value" not in found.error
    assert str(folder) in found.error
    name = case.file.rpartition("/")[2].partition(".data")[0].removesuffix(".index")
    assert name in found.error or "saved_model" in found.error or "weights are missing" in found.error
    assert ". " in found.error, found.error  # a cure


CELL = "genotype.json"
BEST = ("checkpoints/best/ckpt-2.index", "checkpoints/best/ckpt-2.data-00000-of-00001")
CHECKPOINT = ("cut", "empty", "noise", "folder", "removed")


def read_cases():
    """Commands that read a run and write elsewhere."""
    for command, run in (("export", "evaluate"), ("curvature", "search")):
        yield from (Case(command, run, "config.gin", damage) for damage in ALL)
        best = BEST if run == "evaluate" else [name.replace("-2", "-1") for name in BEST]
        yield from (Case(command, run, name, damage) for name in best for damage in CHECKPOINT)
        for damage in ("empty", "folder", "removed"):
            yield Case(command, run, "checkpoints/best/checkpoint", damage, False)
    for command in ("export", "curvature"):
        yield from (Case(command, "evaluate", "pins.json", damage) for damage in JSON)
        yield from (Case(command, "evaluate", "pins.json", damage, False) for damage in ("removed", "object"))
        yield from (Case(command, "evaluate", CELL, damage) for damage in ALL)
    yield from (Case("export", "evaluate", "vocabulary.txt", damage) for damage in ALL)
    yield from (Case("export", "evaluate", "summary.json", damage) for damage in (*JSON, "object"))
    yield Case("export", "evaluate", "summary.json", "removed", False)  # its training may go on
    for damage in ("empty", "noise", "folder"):
        yield Case("export", "evaluate", "operative_config.gin", damage, False, "shows no defaults")


def report_cases():
    """What cannot be read is named, and the command ends well."""
    for run in ("search", "evaluate"):
        for name in ("config.gin", "summary.json", "pins.json", "metrics.jsonl", "posterior.npz"):
            if (run, name) == ("evaluate", "posterior.npz"):
                continue
            for damage in ("empty", "noise", "folder", "list", "cut"):
                torn = (name, damage) == ("metrics.jsonl", "cut")  # the rows before are read
                yield Case("report", run, name, damage, False, f"{run} {name}: " if not torn else "")
        yield Case("report", run, "summary.json", "object", False, "summary.json: ")


MODEL = ("saved_model/saved_model.pb", "saved_model/variables/variables.index",
         "saved_model/variables/variables.data-00000-of-00001")  # fmt: skip


def score_cases():
    """A SavedModel: the graph and the weights must be whole, what lies beside them need not be there."""
    for name in MODEL:
        yield from (Case("score", "evaluate", name, damage) for damage in CHECKPOINT)
    yield Case("score", "evaluate", "saved_model/variables", "removed")
    yield Case("score", "evaluate", "saved_model/assets", "removed", False)
    for name in ("saved_model/fingerprint.pb", "saved_model/assets.extra/about.json"):
        yield from (Case("score", "evaluate", name, damage, False) for damage in ("noise", "removed"))


def refused_cases():
    """Runs that have ended: they are shown, or refused before anything is computed."""
    for run in ("search", "evaluate"):
        yield from (Case(run, run, "config.gin", damage) for damage in ALL)
        yield Case(run, run, "summary.json", "folder")
        for name in ("metrics.jsonl", "operative_config.gin"):
            yield Case(run, run, name, "noise", False)
    yield from (Case("evaluate", "evaluate", "pins.json", damage) for damage in JSON)
    for name in ("vocabulary.txt", "genotype.json"):
        yield Case("evaluate", "evaluate", name, "folder")


QUICK = [*read_cases(), *report_cases(), *score_cases(), *refused_cases()]


@pytest.mark.parametrize("case", QUICK, ids=map(named, QUICK))
def test_a_damaged_file_gives_the_same_result_or_one_line(old, capfd, case):
    wanted = HEALTHY.get(case[:2]) or told(case.command, case.run, old, capfd)
    assert wanted.code == 0, wanted
    HEALTHY[case[:2]] = wanted
    DAMAGES[case.damage](old / "runs" / case.run / case.file)
    found = told(case.command, case.run, old, capfd)
    judged(case, found, old)
    if found.code == 0 and case.command != "report":
        assert found.out == wanted.out


def unended_cases():
    """Runs without their summary, which go to their last checkpoint, or further back, and end once more."""
    last = "checkpoints/last"
    for damage in ("cut", "object"):
        yield Case("evaluate", "evaluate", "summary.json", damage, False, "The result is computed again")
    yield Case("evaluate", "evaluate", last, "removed", False, "The run starts again")
    yield Case("search", "search", "posterior.npz", "noise", False)  # of one update, which is made again
    yield Case("evaluate", "evaluate", "metrics.jsonl", "list")
    yield Case("evaluate", "evaluate", "metrics.jsonl", "empty", False, "continues without")
    yield Case("evaluate", "evaluate", "pins.json", "removed", False, "now records the present one")
    yield Case("evaluate", "evaluate", "vocabulary.txt", "cut", False)
    yield Case("evaluate", "evaluate", f"{last}/checkpoint", "noise", False)
    yield Case("evaluate", "evaluate", f"{last}/ckpt-4.index", "noise", False, "Resuming from")
    yield Case("evaluate", "evaluate", f"{last}/ckpt-4.data-00000-of-00001", "cut", False, "Resuming from")
    yield Case("evaluate", "evaluate", BEST[1], "noise")


UNENDED = list(unended_cases())


@pytest.mark.parametrize("case", UNENDED, ids=map(named, UNENDED))
def test_a_run_that_goes_on_from_damaged_files_ends_as_before(old, capfd, caplog, case):
    summary = old / "runs" / case.run / "summary.json"
    wanted = test_old_runs.results(json.loads(summary.read_text()))
    if case.file != summary.name:
        summary.unlink()
    DAMAGES[case.damage](old / "runs" / case.run / case.file)
    found = told(case.command, case.run, old, capfd)
    judged(case, found._replace(out=found.out + caplog.text), old)
    if not case.fails:
        assert test_old_runs.close(test_old_runs.results(json.loads(summary.read_text())), wanted)


@pytest.mark.parametrize("name", ["vocabulary.txt", "genotype.json"])
@pytest.mark.parametrize("damage", ["cut", "noise", "removed"])
def test_the_command_of_an_ended_training_writes_its_files_again(old, capfd, name, damage):
    path = old / "runs" / "evaluate" / name
    wanted = path.read_text()
    DAMAGES[damage](path)
    found = told("evaluate", "evaluate", old, capfd)
    assert (found.code, found.error) == (0, ""), found
    assert f"note: {name} in " in found.err
    assert path.read_text() == wanted


@pytest.mark.parametrize("damage", ALL)
def test_a_search_does_not_go_on_without_its_earlier_updates(tmp_path, damage):
    path = tmp_path / "posterior.npz"
    for epoch in (1, 2, 3):
        run_files.write_posterior(path, update(epoch))
    listener, facts = run_files.SearchFiles(tmp_path), RunFacts("search", "toy", 4, 30, 100, 3)
    listener.on_start(facts)
    with pytest.raises(UserError, match="the 4 updates"):
        listener.on_start(facts._replace(epochs_done=4))
    DAMAGES[damage](path)
    with pytest.raises(UserError, match=r"posterior\.npz is missing or damaged.*Restore it"):
        listener.on_start(facts)
    listener.on_start(facts._replace(epochs_done=0))  # the first update begins anew


@pytest.mark.parametrize("damage", ALL)
def test_a_sweep_without_its_table_says_so(tmp_path, capfd, damage):
    path = tmp_path / "sweep.json"
    path.write_text(json.dumps({"kind": "sweep", "runs": [], "seconds": 7.0}))
    DAMAGES[damage](path)
    Ledger(tmp_path, "toy", "local", 1)
    assert ("without the seconds" in capfd.readouterr().err) == (damage != "removed")


def test_there_are_many_cases():
    assert len(set(map(named, QUICK))) == len(QUICK) > 140
