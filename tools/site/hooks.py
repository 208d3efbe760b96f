"""What mkdocs.yml cannot say: formulas without scripts, the README as home, links out of docs/."""

import re
from pathlib import Path
from typing import Any

import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}


def mathml(formula: str, display: str = "inline") -> str:
    """A formula of LaTeX as MathML, which browsers show by themselves."""
    for entity, sign in ENTITIES.items():
        formula = formula.replace(entity, sign)
    return latex2mathml.converter.convert(formula.strip(), display=display)


def fence(source: str, *_: Any, **__: Any) -> str:
    """A block fenced as `math`."""
    return mathml(source, "block")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the fence, a function, which YAML cannot hold."""
    fences = [{"name": "math", "class": "math", "format": fence}]
    config.mdx_configs["pymdownx.superfences"] = {"custom_fences": fences}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The README is the home page; its links are those of the folder above docs/."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=re.sub(r"(\]\(|src=\")docs/", r"\1", text)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links to files of the checkout outside of docs/ become their text: the site does not have them."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def inside(match: re.Match) -> str:
        text, target = match[1], match[2]
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = (folder / target).resolve()
        return match[0] if path.is_relative_to(ROOT / "docs") and path.exists() else text

    return LINK.sub(inside, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Formulas within lines."""
    return INLINE.sub(lambda match: mathml(match[1]), html)
