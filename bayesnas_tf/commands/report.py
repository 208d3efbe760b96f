"""`report` as a user meets it: read what lies there, write a page and its CSV files, say where."""

from pathlib import Path

from bayesnas_tf import config
from bayesnas_tf.errors import UserError, writing
from bayesnas_tf.report import comparisons, csv_files, discovery, grouping, page, tables
from bayesnas_tf.report.content import Content
from bayesnas_tf.report.records import Collection


def run_report(run: config.Run) -> None:
    """Write the report of the folders in `--runs`.

    Raises:
      UserError: no run can be found there, or the page cannot be written.
    """
    roots, out = [Path(root) for root in run.options.runs], Path(run.options.out)
    content = examine(discovery.collect(roots))
    if run.dry_run:
        print(_told(content))
        return
    with writing(out, "--out"):
        out.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(out, _encodable(page.html(content)))
        beside = csv_files.write(content, out)
    print(_told(content))
    print(f"page       {out}")
    print(f"tables     {', '.join(path.name for path in beside)} in the same folder")


def examine(collection: Collection) -> Content:
    """Group, compare and complete what was read."""
    if not collection.runs and not any(problem.file for problem in collection.problems):
        raise UserError(
            f"no run in {', '.join(collection.roots)}. Give a run directory, a sweep directory, or a "
            "folder of them"
        )
    found = grouping.protocols(collection)
    asked = comparisons.all_of(found.protocols)
    return Content(collection, tuple(found.protocols), tuple(asked), (*collection.problems, *found.repeated))


def _encodable(text: str) -> str:
    """The text without half characters, which names of files and JSON may hold and UTF-8 may not."""
    return text.encode(errors="replace").decode()


def _told(content: Content) -> str:
    """What was found, in two lines for the terminal."""
    kinds = [run.kind for run in content.collection.runs if run.summary]
    unread = len({(problem.path, problem.file) for problem in content.problems})
    searches = tables.counted(kinds.count("search"), "search", "searches")
    trainings = tables.counted(kinds.count("evaluate"), "training")
    configurations = tables.counted(len(content.protocols), "configuration")
    failures = tables.counted(len(content.collection.failures), "run")
    lines = [f"read       {searches}, {trainings} of {configurations}, {failures} without a result"]
    if unread:
        first = content.problems[0]
        lines.append(f"not read   {unread} files or folders, first {first.path} {first.file}: {first.what}")
    return "\n".join(lines)
