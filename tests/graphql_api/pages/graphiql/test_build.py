"""Building the GraphiQL page."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from celeryql.settings import PROJECT_ROOT
from graphql_api.pages.graphiql.build import PAGE_DIR, STAMP, BuildFailed, build, is_built
from tests.processes import run_to_end

NPM = """#!/bin/sh
echo "$1" >> "$0.calls"
[ "$1" = ci ] && exec test -f package-lock.json
mkdir dist && echo bundled > dist/main.js
"""


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an npm on PATH that bundles one file, and writes down its commands."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(NPM)
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:/usr/bin:/bin")
    return npm


def calls(npm: Path) -> list[str]:
    return npm.with_name("npm.calls").read_text().split()


def test_the_locked_packages_are_installed_and_bundled(npm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "graphiql"

    build(folder)

    assert calls(npm) == ["ci", "run"]
    assert (folder / "main.js").read_text() == "bundled\n"
    assert sorted(path.name for path in folder.parent.iterdir()) == [
        *("graphiql", "graphiql.lock", "setup.log")
    ]


def test_a_built_page_is_not_built_again(npm: Path, tmp_path: Path) -> None:
    build(tmp_path / "graphiql")
    build(tmp_path / "graphiql")

    assert calls(npm) == ["ci", "run"]


def test_a_page_of_other_sources_is_built_again(npm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "graphiql"
    build(folder)
    (folder / STAMP).write_text("another lock file")
    (folder / "old.js").touch()

    build(folder)

    assert is_built(folder)
    assert not (folder / "old.js").exists()


def test_two_builds_at_once_build_the_page_once(npm: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(build, [tmp_path / "graphiql"] * 2))

    assert calls(npm) == ["ci", "run"]


def test_a_failed_build_names_the_log_and_keeps_the_old_files(npm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "graphiql"
    folder.mkdir()
    (folder / "main.js").write_text("of an earlier version")
    npm.write_text("#!/bin/sh\necho no registry\nexit 1\n")

    with pytest.raises(
        BuildFailed, match=r"could not be installed \(see the end of .*/setup\.log\)"
    ):
        build(folder)

    assert (tmp_path / "setup.log").read_text() == "no registry\n"
    assert (folder / "main.js").read_text() == "of an earlier version"
    assert not (tmp_path / "graphiql.building").exists()


@pytest.mark.slow
def test_without_npm_and_package_index_the_error_is_one_line(tmp_path: Path) -> None:
    done = run_to_end(
        ["-m", "graphql_api.pages.graphiql.build"],
        PROJECT_ROOT,
        PATH=str(tmp_path),
        PIP_CONFIG_FILE=os.devnull,
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS="",
        GRAPHIQL_DIR=str(tmp_path / "graphiql"),
    )

    assert done.returncode == 1
    assert done.stderr == (
        "Building the GraphiQL page from npm packages, once ...\n"
        "The GraphiQL page was not built: npm is missing and could not be installed "
        f"(see the end of {tmp_path}/setup.log); the API works without it.\n"
    )


def test_every_locked_package_has_a_hash_and_names_no_registry() -> None:
    packages = json.loads((PAGE_DIR / "package-lock.json").read_text())["packages"]
    installed = [package for path, package in packages.items() if path]

    assert len(installed) > 50
    assert all(package["integrity"].startswith("sha512-") for package in installed)
    assert not [package for package in installed if "resolved" in package]
