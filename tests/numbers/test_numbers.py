"""What small searches and trainings compute in float64, against what they computed before the last redesign.

`tests/fixtures/numbers_c836b5b.json.xz` is what `python -m tests.numbers.record` wrote at commit c836b5b.
"""

import json
import lzma
import math
import subprocess
import sys

# A sample of tests/numbers/cases.py that meets most of the code; the command compares all.
SAMPLE = ("search", "stages, edge, layer", "recursive, slots, D", "enas", "DARTS_V2, stages", "awd_lstm")
TEXTS = ("warnings",)  # may be worded anew
RTOL = 1e-10  # of float64, after two epochs; sums of another order differ by some 1e-14


def differences(found, wanted, where=""):
    """The places where two JSON values differ by more than rounding, as texts."""
    if isinstance(wanted, dict):
        if found.keys() != wanted.keys():
            return [f"{where}: {sorted(found.keys() ^ wanted.keys())}"]
        keys = [key for key in wanted if key not in TEXTS]
        return [line for key in keys for line in differences(found[key], wanted[key], f"{where}/{key}")]
    if isinstance(wanted, list):
        if len(found) != len(wanted):
            return [f"{where}: {len(found)} for {len(wanted)} entries"]
        pairs = enumerate(zip(found, wanted, strict=True))
        return [line for k, (a, b) in pairs for line in differences(a, b, f"{where}/{k}")]
    if isinstance(wanted, float) and isinstance(found, float):
        close = math.isclose(found, wanted, rel_tol=RTOL, abs_tol=1e-12) or (
            found != found and wanted != wanted
        )
        return [] if close else [f"{where}: {found!r} for {wanted!r}"]
    return [] if found == wanted else [f"{where}: {found!r} for {wanted!r}"]


def test_a_difference_is_found():
    assert differences({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-8]}) == ["/a/1: 2.0 for 2.00000001"]
    assert differences({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-14]}) == []
    assert differences({"a": 1}, {"b": 1})


def test_the_numbers_are_what_they_were(root, tmp_path):
    packed = (root / "tests" / "fixtures" / "numbers_c836b5b.json.xz").read_bytes()
    wanted = json.loads(lzma.decompress(packed))
    out = tmp_path / "found.json"
    command = [sys.executable, "-m", "tests.numbers.record", str(out), *SAMPLE]
    process = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert differences(json.loads(out.read_text()), {name: wanted[name] for name in SAMPLE}) == []
