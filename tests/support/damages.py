"""What may happen to a file: each way is a function of its path."""

import shutil


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def written(content):
    return lambda path: path.write_bytes(content)


def removed(path):
    (shutil.rmtree if path.is_dir() else type(path).unlink)(path)


def a_folder(path):
    path.unlink() or path.mkdir()


DAMAGES = {
    "cut": cut,
    "empty": written(b""),
    "noise": written(bytes(range(256))),
    "folder": a_folder,
    "removed": removed,
    "object": written(b"{}\n"),
    "list": written(b"[1, 2]\n"),
}
ALL = tuple(DAMAGES)
JSON = ("cut", "empty", "noise", "folder", "list")  # of JSON in which nothing need be
