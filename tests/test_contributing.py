"""The map of the code in CONTRIBUTING.md names files that exist."""

from __future__ import annotations

import re

from celeryql.settings import PROJECT_ROOT

CONTRIBUTING = (PROJECT_ROOT / "CONTRIBUTING.md").read_text()


def test_every_file_it_names_is_there():
    folders: list[str] = []
    named = []
    tree = re.search(r"^## Where things are\n.*?^```\n(.*?)^```", CONTRIBUTING, re.M | re.S)[1]
    for line in tree.splitlines():
        if line.startswith(" " * 10):  # continues the text of the line above
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.match(r"(?:\S+ )*\S+", line.lstrip())[0].split()
        named += ["/".join([*folders[:depth], name.rstrip("/")]) for name in names]
        folders[depth:] = [names[0].rstrip("/")]

    assert len(named) > 30
    assert [name for name in named if not (PROJECT_ROOT / name).exists()] == []
