"""Every relative link and anchor in the documentation resolves, and every page is listed."""

from __future__ import annotations

import re

import pytest

from celeryql.settings import PROJECT_ROOT
from tests.docs.pages import PAGES, name_of, page

LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
PAGE = re.compile(r"\bdocs/[a-z-]+\.md\b")
SOURCES = [
    path
    for pattern in ("*.yml", "Dockerfile", "dev", "*/**/*.py", "*/**/*.lua", "*/**/*.graphql")
    for path in sorted(PROJECT_ROOT.glob(pattern))
    if not {".venv", "node_modules"} & {*path.parts}
]
NAMING = [path for path in SOURCES if PAGE.search(path.read_text())]


def without_code(text: str) -> str:
    """Leave out fenced blocks, whose lines may look like headings or links."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path):
    for target in LINK.findall(without_code(path.read_text())):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file) if file else path
        assert linked.exists(), target
        text = without_code(linked.read_text()) if anchor else ""
        titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
        assert not anchor or anchor in anchors, target


def test_the_table_of_contents_lists_every_page_once():
    listed = [
        target
        for target in LINK.findall(page("docs/README.md"))
        if not target.startswith("../") and "#" not in target
    ]

    pages = [name_of(path).removeprefix("docs/") for path in PAGES if "docs/" in name_of(path)]
    assert sorted([*listed, "README.md"]) == sorted(pages)


@pytest.mark.parametrize("path", NAMING, ids=name_of)
def test_files_name_pages_that_exist(path):
    for named in PAGE.findall(path.read_text()):
        assert (PROJECT_ROOT / named).exists(), named
