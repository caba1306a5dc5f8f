"""What tests with the clients of others share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import Client
from tests.processes import running_api


@pytest.fixture(scope="session")
def client(environment: dict[str, str], logs: Path) -> Iterator[Client]:
    """An API that shows its schema, as `./dev up` does."""
    with running_api(environment | {"INTROSPECTION": "1"}, logs / "open_api.log") as url:
        yield Client(url)
