"""An installation for all tests here, empty at the start of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.ledger import TASKS
from tests.faults.site import Site, running_site


@pytest.fixture(scope="session")
def project(copy_project: Callable[[str], Path]) -> Path:
    return copy_project(TASKS)


@pytest.fixture(scope="session")
def any_site(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(project, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(any_site: Site, tmp_path: Path) -> Iterator[Site]:
    """An installation without data and workers."""
    any_site.folder = tmp_path
    if any_site.api.poll() is not None:  # A failed test left it killed; that must not fail others.
        any_site.run_api()
    yield any_site
    any_site.clear()
