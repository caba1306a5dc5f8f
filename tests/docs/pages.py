"""Find the pages of the documentation, and the examples and commands on them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from celeryql.settings import PROJECT_ROOT

PAGES = [*sorted(PROJECT_ROOT.glob("*.md")), *sorted((PROJECT_ROOT / "docs").glob("**/*.md"))]


def page(name: str) -> str:
    """Read a page by its path in the project."""
    return (PROJECT_ROOT / name).read_text()


def name_of(path: Path) -> str:
    """Return the path of a page in the project, as tests print it."""
    return str(path.relative_to(PROJECT_ROOT))


def section(name: str, title: str) -> str:
    """Read one section of a page, up to the next heading of any level."""
    found = re.search(rf"^##+ {title}\n(.*?)(?=^##|\Z)", page(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no section {title!r}"
    return found[1]


def blocks(text: str) -> list[tuple[str, str]]:
    """List the fenced blocks of a text: the language, and what is in the block."""
    return re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


def examples(text: str, language: str) -> list[tuple[str, str]]:
    """List the blocks of a language, each with the next block, which shows its output."""
    pairs = pairwise(blocks(text))
    return [(block, printed) for (name, block), (_, printed) in pairs if name == language]


def answered(text: str) -> list[tuple[str, str]]:
    """List the GraphQL operations of a text whose answer is printed behind them."""
    pairs = pairwise(blocks(text))
    return [(block, out) for (name, block), (next_, out) in pairs if (name, next_) == RUN]


RUN = ("graphql", "json")
