"""The task modules of the documentation are added to a copy of the project, and work."""

from __future__ import annotations

import pytest

from tests.client import Client
from tests.docs.pages import answered, blocks, examples, page, section
from tests.docs.transcript import Transcript
from tests.processes import running_api, running_worker

TASKS = "docs/tasks.md"
GREET = """
mutation { enqueueGreet(input: {name: "Ann"}) { ... on EnqueueGreetSuccess { task { id } } } }
"""
WATCH = "subscription($id: ID!) { task(id: $id) { task { ... on GreetTask { result } } } }"


@pytest.fixture
def with_own_tasks(copy_project, redis_url, logs):
    """A client of a copy of the project that has the files of the examples, and no others."""
    (reading, _) = examples(page(TASKS), "python")[0]
    ((_, greeting),) = blocks(section("README.md", "Bring your own tasks"))
    project = copy_project(reading)
    (project / "tasks" / "kitchen.py").rename(project / "tasks" / "reading.py")
    (project / "tasks" / "greeting.py").write_text(greeting)
    environment = {"REDIS_URL": redis_url.removesuffix("0") + "2"}
    with (
        running_worker("celery", environment, logs / "reading_worker.log", project=project),
        running_api(environment, logs / "reading_api.log", project=project) as url,
    ):
        yield Client(url)


@pytest.mark.slow
async def test_the_tasks_of_the_pages_do_what_the_pages_say(with_own_tasks):
    transcript = Transcript(with_own_tasks)

    for operation, printed in answered(page(TASKS)):
        await transcript.check(operation, printed)
    task_id = (await with_own_tasks.execute(GREET))["enqueueGreet"]["task"]["id"]
    events = await with_own_tasks.events(WATCH, id=task_id)

    assert len(answered(page(TASKS))) == 4
    assert events[-1] == {"task": {"result": "Hello Ann"}}
    definitions = await with_own_tasks.execute(
        "{ taskDefinitions { name description field queue { name } } }"
    )
    assert {
        "name": "measure_text",
        "description": "Count the words of a text.",
        "field": "enqueueMeasureText",
        "queue": {"name": "celery"},
    } in definitions["taskDefinitions"]
