"""Traces of real programs, as a collector receives them over OTLP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from celeryql.settings import PROJECT_ROOT
from graphql_api.local.redis_server import private_redis
from tests.client import Client
from tests.processes import run_to_end, running_api, running_worker, wait_until

pytestmark = pytest.mark.slow

TASKS = '''
"""Tasks that fail in their first attempt."""

from tasks.celery_app import app
from celeryql import Retryable


@app.task(max_retries=1)
def stumble() -> float:
    """Succeed in the second attempt."""
    if not stumble.request.retries:
        raise Retryable("once", after_s=0.1)
    return 1.0


@app.task
def stumble_again(value: float) -> str:
    """Succeed in the second attempt as well."""
    if not stumble_again.request.retries:
        raise Retryable("once", after_s=0.1)
    return f"Subject {value}"
'''
STATES = "subscription($id: ID!) { task(id: $id) { task { state } } }"


@dataclass(frozen=True)
class Span:
    """The parts of a received span that the tests check."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, str]


@dataclass
class Collector:
    """A collector that keeps the spans that it receives."""

    port: int = 0
    spans: list[Span] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _attributes(resource.resource)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        service,
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        _attributes(span),
                    )
                    for span in scope.spans
                    if span.end_time_unix_nano
                ]

    def of_trace(self, trace: str) -> dict[str, list[Span]]:
        """Return the spans of one trace by name."""
        found: dict[str, list[Span]] = {}
        for span in self.spans:
            if span.trace == trace:
                found.setdefault(span.name, []).append(span)
        return found


def _attributes(owner: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in owner.attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def client(
    collector: Collector,
    copy_project: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Client]:
    """An API and two workers that send their spans often."""
    project, folder = copy_project(TASKS), tmp_path_factory.mktemp("traces")
    with ExitStack() as stack:
        environment = {
            "REDIS_URL": stack.enter_context(private_redis(folder / "redis")),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "MODEL_DIR": str(folder),
        }
        api = stack.enter_context(running_api(environment, folder / "api.log", project=project))
        for queue in ("celery", "ml_service"):
            log = folder / f"{queue}.log"
            stack.enter_context(running_worker(queue, environment, log, project=project))
        yield Client(api)


async def test_a_chain_on_two_workers_is_one_trace(client, collector):
    steps = [
        {"step": {"task": {"stumble": True}}},
        {"step": {"task": {"stumbleAgain": {}}}},
        {"step": {"task": {"detectSpam": {}}}},
    ]
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    mutation = (
        "mutation($canvas: CanvasInput!) { enqueueWorkflow(input: {canvas: $canvas})"
        " { ... on EnqueueWorkflowSuccess { task { id } } ... on Error { message } } }"
    )
    async with httpx.AsyncClient() as http:
        body = {"query": mutation, "variables": {"canvas": {"chain": steps}}}
        headers = {"traceparent": f"00-{trace}-{parent}-01", "x-request-id": "traced"}
        await http.post(f"{client.url}/graphql", json=body, headers=headers)

    found = wait_until(
        lambda: (spans := collector.of_trace(trace)).get("run detect_spam") and spans,
        "the last step's span",
    )
    (operation,) = found["mutation enqueueWorkflow"]
    (enqueued,) = found["enqueue workflow"]
    first, second = found["run stumble"]
    third, fourth = found["run stumble_again"]
    (last,) = found["run detect_spam"]
    (request,) = found["POST /graphql"]
    assert (request.parent, operation.parent) == (parent, request.id)
    assert enqueued.parent == first.parent == operation.id
    assert [s.parent for s in (second, third, fourth, last)] == [
        s.id for s in (first, second, third, fourth)
    ]
    assert (operation.service, first.service) == ("celeryql-api", "celeryql-worker-celery")
    assert last.service == "celeryql-worker-ml_service"
    assert {s.attributes["celeryql.request_id"] for s in (operation, first, last)} == {"traced"}


async def test_an_aborted_subscription_has_an_ended_span(client, collector):
    task = await client.enqueue("wait", {"start": {"inSeconds": 3_600}}, seconds=1)

    async with aclosing(client.watch(STATES, id=task)) as messages:
        await anext(messages)

    def ended() -> list[Span]:
        return [span for span in collector.spans if span.name == "subscription task"]

    (span,) = wait_until(ended, "the span of a canceled subscription")
    assert span.attributes["graphql.operation.type"] == "subscription"


async def test_no_span_contains_names_that_a_client_chose(client, collector):
    await client.answer("query Mine { alias: queues { name } }")

    wait_until(
        lambda: [span for span in collector.spans if span.name == "query queues"], "a query's span"
    )
    assert [span for span in collector.spans if "Mine" in str(span) or "alias" in str(span)] == []


LOADED = "print(any(name.startswith({!r}) for name in sys.modules))"
API = "import sys; from graphql_api.app import create_app; create_app(); "
WORKER = "import sys, celery.worker.consumer; from tasks import app; app.finalize(); "
WITHOUT_EXTRA = """
import sys
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.exporter"] = None
from graphql_api.app import create_app
create_app()
"""


@pytest.mark.parametrize("program", [API, WORKER])
@pytest.mark.parametrize("package", ["opentelemetry.sdk.trace", "opentelemetry.exporter"])
def test_without_a_collector_opentelemetry_is_not_loaded(program, package):
    done = run_to_end(["-c", program + LOADED.format(package)], PROJECT_ROOT)

    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr


@pytest.mark.parametrize(
    ("endpoint", "said"), [("http://127.0.0.1:1", "install requirements-otel.lock"), ("", "")]
)
def test_without_the_extra_a_log_line_names_what_is_missing(endpoint, said):
    done = run_to_end(["-c", WITHOUT_EXTRA], PROJECT_ROOT, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)

    assert done.returncode == 0, done.stderr
    assert said in done.stderr if said else not done.stderr
