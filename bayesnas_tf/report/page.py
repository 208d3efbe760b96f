"""The page: one HTML file without script, network or anything beside it.

Jinja escapes whatever comes from files; a content security policy in the page lets a browser run no script
and fetch nothing even if something slipped through. Tables are for reading: to sort, there are the CSV files.
"""

import functools

import jinja2

from bayesnas_tf import __version__
from bayesnas_tf.report import sections
from bayesnas_tf.report.content import Content


@functools.cache
def _template() -> jinja2.Template:
    """The page with its gaps."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bayesnas_tf.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def html(content: Content) -> str:
    """The whole page; the same runs give the same page."""
    cells = [cell for protocol in content.protocols for cell in protocol.cells]
    facts = [
        (len(content.searches), "searches"),
        (sum(len(cell.runs) for cell in cells), "trainings"),
        (len({cell.genotype for cell in cells if cell.genotype is not None}), "cells trained"),
        (len(content.collection.failures), "failed or unfinished"),
        (len(content.problems), "not read"),
    ]
    return _template().render(
        facts=facts, roots=content.collection.roots, sections=sections.build(content), version=__version__
    )
