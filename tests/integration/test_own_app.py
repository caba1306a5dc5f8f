"""A Celery app of one's own, in a folder of its own, served by CELERY_APP."""

from __future__ import annotations

import os

import pytest

from celeryql.settings import PROJECT_ROOT
from tests.client import Client
from tests.docs.pages import blocks, page
from tests.processes import running, running_api, wait_until

pytestmark = pytest.mark.slow

SHOP = next(code for _, code in blocks(page("docs/tasks.md")) if 'Celery("shop")' in code)
WATCH = "subscription($id: ID!) { task(id: $id) { task { state ... on PriceTask { result } } } }"


@pytest.fixture
def shop(tmp_path, redis_url):
    """A client of the shop's API, with a worker of the shop."""
    (tmp_path / "shop.py").write_text(SHOP)
    path = os.pathsep.join([str(tmp_path), str(PROJECT_ROOT)])
    environment = {"REDIS_URL": redis_url.removesuffix("0") + "3", "PYTHONPATH": path}
    log = tmp_path / "worker.log"
    worker = ["celery", "-A", "shop", "worker", "-P", "solo", "--loglevel", "INFO"]
    served = environment | {"CELERY_APP": "shop"}
    with (
        running(worker, environment, log, project=tmp_path) as process,
        running_api(served, tmp_path / "api.log", project=tmp_path) as url,
    ):
        wait_until(lambda: process.poll() is not None or " ready." in log.read_text(), "worker")
        yield Client(url)


async def test_tasks_of_the_app_are_enqueued_with_types_and_watched(shop):
    task_id = await shop.enqueue("price", pieces=3, each=1.5)

    events = await shop.events(WATCH, id=task_id)

    assert events[-1] == {"task": {"state": "SUCCEEDED", "result": 4.5}}


async def test_the_schema_has_only_the_tasks_of_the_app(shop):
    data = await shop.execute("{ taskDefinitions { name } queues { name } }")

    assert data == {"taskDefinitions": [{"name": "price"}], "queues": [{"name": "celery"}]}
