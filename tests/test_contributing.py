"""CONTRIBUTING.md is followed: the task of its example is added, and works as it says."""

from __future__ import annotations

import re

import pytest

from celeryql.settings import PROJECT_ROOT
from tests.client import Client
from tests.processes import running_api, running_worker
from tests.test_readme import Transcript, examples

CONTRIBUTING = (PROJECT_ROOT / "CONTRIBUTING.md").read_text()


@pytest.fixture
def with_measure_text(copy_project, redis_url, logs):
    """A client of a copy of the project that has the file of the example, and nothing else new."""
    ((source, _),) = examples(CONTRIBUTING, "python")
    project = copy_project(source)
    (project / "tasks" / "kitchen.py").rename(project / "tasks" / "reading.py")
    environment = {"REDIS_URL": redis_url.removesuffix("0") + "2"}
    with (
        running_worker("celery", environment, logs / "reading_worker.log", project=project),
        running_api(environment, logs / "reading_api.log", project=project) as url,
    ):
        yield Client(url)


@pytest.mark.slow
async def test_the_task_in_one_file_does_what_the_page_says(with_measure_text):
    transcript = Transcript(with_measure_text)

    for operation, printed in examples(CONTRIBUTING, "graphql"):
        await transcript.check(operation, printed)

    assert len(examples(CONTRIBUTING, "graphql")) == 4
    definitions = await with_measure_text.execute(
        "{ taskDefinitions { name description field queue { name } } }"
    )
    assert {
        "name": "measure_text",
        "description": "Count the words of a text.",
        "field": "enqueueMeasureText",
        "queue": {"name": "celery"},
    } in definitions["taskDefinitions"]


def test_every_file_it_names_is_there():
    folders: list[str] = []
    named = []
    tree = re.search(r"^## Where things are\n+```\n(.*?)^```", CONTRIBUTING, re.M | re.S)[1]
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.match(r"(?:\S+ )*\S+", line.lstrip())[0].split()
        named += ["/".join([*folders[:depth], name.rstrip("/")]) for name in names]
        folders[depth:] = [names[0].rstrip("/")]

    assert len(named) > 30
    assert [name for name in named if not (PROJECT_ROOT / name).exists()] == []
