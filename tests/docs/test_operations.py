"""The GraphQL operations of the documentation are valid, and give the printed answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import graphql
import pytest

from celeryql.settings import PROJECT_ROOT
from tests.client import Client
from tests.docs.pages import PAGES, answered, blocks, name_of, page
from tests.docs.transcript import Transcript
from tests.processes import running_api

SCHEMA = graphql.build_schema((PROJECT_ROOT / "schema.graphql").read_text())
# These pages need more than the API and its workers: tests of their own run them.
OWN_TASKS = "docs/tasks.md"
FROZEN = "docs/inside-redis.md"
SECURED = "docs/security.md"
RUN = [
    path
    for path in PAGES
    if answered(path.read_text()) and name_of(path) not in (OWN_TASKS, FROZEN, SECURED)
]


@pytest.fixture
def without_workers(redis_url: str, logs: Path) -> Iterator[Client]:
    """A client of an API whose queues nobody consumes, as if they were frozen."""
    environment = {"REDIS_URL": redis_url.removesuffix("0") + "3"}
    with running_api(environment, logs / "frozen_api.log") as url:
        yield Client(url)


@pytest.mark.slow
@pytest.mark.parametrize("path", RUN, ids=name_of)
async def test_operations_give_the_printed_answers(client, workers, path):
    transcript = Transcript(client)

    for operation, printed in answered(path.read_text()):
        await transcript.check(operation, printed)


@pytest.mark.slow
async def test_operations_on_a_frozen_queue_give_the_printed_answers(without_workers):
    transcript = Transcript(without_workers)

    for operation, printed in answered(page(FROZEN)):
        await transcript.check(operation, printed)

    assert len(answered(page(FROZEN))) == 3


def test_the_pages_whose_operations_are_run_are_those_with_answers():
    names = {name_of(path) for path in RUN}

    assert {"README.md", "docs/tutorial.md", "docs/watching.md", "docs/workflows.md"} <= names


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_operations_fit_the_schema(path):
    if name_of(path) == OWN_TASKS:
        return
    for language, text in blocks(path.read_text()):
        if language == "graphql":
            assert graphql.validate(SCHEMA, graphql.parse(text)) == [], text
