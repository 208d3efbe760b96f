"""Published corpora: each place and form of their files, wrong content, mirrors, no network."""

import hashlib
import io
import lzma
import tarfile
import urllib.error
import zipfile

import pytest

from bayesnas_tf.data import downloads, sources
from bayesnas_tf.data.corpora import ptb, wikitext2
from bayesnas_tf.errors import UserError

TEXTS = {"train": b" a b \n \n c \n", "valid": b" a \n", "test": b" b c \n"}
LINES = {"train": [" a b ", " ", " c "], "valid": [" a "], "test": [" b c "]}


def _toy(mirrors=(), archive="toy.tgz", name="toy"):
    files = {split: (f"toy.{split}.txt", hashlib.md5(text).hexdigest()) for split, text in TEXTS.items()}
    return sources.Published(name, files, archive, tuple(mirrors))


def _plain(folder):
    for split, text in TEXTS.items():
        (folder / f"toy.{split}.txt").write_bytes(text)


def _xz(folder):
    for split, text in TEXTS.items():
        (folder / f"toy.{split}.txt.xz").write_bytes(lzma.compress(text))


def _tgz(folder):
    with tarfile.open(folder / "toy.tgz", "w:gz") as tar:
        for split, text in TEXTS.items():
            info = tarfile.TarInfo(f"./toy-1/data/toy.{split}.txt")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))


def _zip(folder):
    with zipfile.ZipFile(folder / "toy.zip", "w") as zipped:
        for split, text in TEXTS.items():
            zipped.writestr(f"toy-1/toy.{split}.txt", text)


def _lines(source):
    return {split: list(source.lines(split)) for split in sources.SPLITS}


@pytest.mark.parametrize("subfolder", ["", "toy"])
@pytest.mark.parametrize("place", ["data", "cache"])
@pytest.mark.parametrize("put", [_plain, _xz, _tgz, _zip])
def test_files_are_found_in_each_place_and_form(put, place, subfolder, data_dir, cache):
    folder = (data_dir if place == "data" else cache) / subfolder
    folder.mkdir(parents=True, exist_ok=True)
    put(folder)
    archive = "toy.zip" if put is _zip else "toy.tgz"
    assert _lines(sources.published(_toy(archive=archive), data_dir)) == LINES


@pytest.mark.parametrize("put", [_plain, _xz])
def test_wrong_content_is_named_with_both_md5s(put, data_dir):
    put(data_dir)
    path = next(data_dir.glob("toy.valid*"))
    path.write_bytes(b"other" if put is _plain else lzma.compress(b"other"))
    with pytest.raises(UserError) as error:
        sources.published(_toy(), data_dir)
    for part in (str(path), hashlib.md5(b"other").hexdigest(), hashlib.md5(TEXTS["valid"]).hexdigest()):
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["toy.train.txt.xz", "toy.tgz"])
def test_a_damaged_file_is_named(name, data_dir):
    (data_dir / name).write_bytes(b"\xfd7zXZ garbage")
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        sources.published(_toy(), data_dir)


def test_mirrors_are_tried_in_turn_until_the_md5_is_right(data_dir, tmp_path):
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    for folder in (wrong, right):
        folder.mkdir()
        _plain(folder)
    (wrong / "toy.test.txt").write_bytes(b"other")
    mirrors = [
        f"file://{tmp_path}/absent.tgz",
        f"file://{wrong}/{{file}}",
        f"file://{right}/toy.{{split}}.txt",
    ]
    assert _lines(sources.published(_toy(mirrors), data_dir)) == LINES
    kept = {path.name: path.read_bytes() for path in (data_dir / "toy").iterdir()}
    assert kept == {f"toy.{split}.txt": text for split, text in TEXTS.items()}


@pytest.mark.parametrize("put", [_tgz, _zip])
def test_a_mirror_may_hold_the_archive(put, data_dir, tmp_path):
    put(tmp_path)
    archive = "toy.zip" if put is _zip else "toy.tgz"
    assert _lines(sources.published(_toy([f"file://{tmp_path}/{archive}"]), data_dir)) == LINES


def _asked(monkeypatch, errors):
    """Mirrors that give every file but those of `errors`, address -> error; and the addresses asked for."""
    asked = []

    def get(url):
        asked.append(url)
        if url in errors:
            raise errors[url]
        return TEXTS[url.split(".")[-2]]

    monkeypatch.setattr(downloads, "_get", get)
    return asked


def test_a_file_that_a_mirror_lacks_costs_none_of_those_it_gives(data_dir, monkeypatch):
    missing = urllib.error.HTTPError("", 404, "Not Found", None, None)
    asked = _asked(monkeypatch, {"http://one/toy.valid.txt": missing})
    mirrors = ["http://one/{file}", "http://two/{file}"]
    assert _lines(sources.published(_toy(mirrors), data_dir)) == LINES
    assert asked == [f"http://one/toy.{split}.txt" for split in TEXTS] + ["http://two/toy.valid.txt"]


def test_a_mirror_that_falls_silent_is_left_and_what_it_gave_is_kept(data_dir, monkeypatch):
    asked = _asked(monkeypatch, {"http://one/toy.valid.txt": TimeoutError("timed out")})
    contents, failures = downloads.fetch(["http://one/{file}"], _toy().files)
    assert contents == {"train": TEXTS["train"]}
    assert failures == ["one: timed out"]
    assert len(asked) == 2


def test_only_what_is_missing_is_downloaded(data_dir, tmp_path):
    _plain(data_dir)
    (data_dir / "toy.test.txt").rename(tmp_path / "toy.test.txt")
    assert _lines(sources.published(_toy([f"file://{tmp_path}/{{file}}"]), data_dir)) == LINES


@pytest.mark.parametrize("corpus", [ptb.FILES, wikitext2.FILES], ids=lambda corpus: corpus.name)
def test_without_a_network_one_line_says_what_to_put_where(corpus, data_dir, monkeypatch):
    def no_network(url):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(downloads, "_get", no_network)
    with pytest.raises(UserError) as error:
        sources.published(corpus, data_dir).lines("train")
    message = str(error.value)
    assert "\n" not in message
    assert "Network is unreachable" in message
    assert corpus.archive in message
    assert str(data_dir / corpus.name) in message
    for file, md5 in corpus.files.values():
        assert f"{file} (md5 {md5})" in message


def test_a_failed_download_leaves_nothing_behind(tmp_path, cache):
    with pytest.raises(UserError):
        sources.published(_toy([f"file://{tmp_path}/absent/{{file}}"]), tmp_path / "new").lines("test")
    assert not (tmp_path / "new").exists()
    assert not cache.exists()


def test_lines_keep_blank_ones_and_replace_bytes_that_are_not_utf8():
    assert sources.split_lines(b"a\n\nb\xff\n") == ["a", "", "b\ufffd"]
    assert sources.split_lines("no end, é".encode()) == ["no end, é"]


def test_a_digest_changes_with_every_part():
    assert len({sources.digest(p) for p in ([], ["a"], ["b"], ["a", "b"], ["ab"], ["b", "a"])}) == 6
    assert sources.digest(["a"]) == sources.digest([b"a"])
