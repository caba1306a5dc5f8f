"""A message built from a template equals the one that Celery builds."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Annotated, Any

import pytest
from celery import signals
from celery.app.task import Task
from structlog.contextvars import bound_contextvars

from celeryql.adopt.exposed_tasks import exposed_tasks
from celeryql.broker.captured_messages import build_only_options, capturing
from celeryql.definition.options import EnqueueOptions
from celeryql.definition.sensitive import Sensitive
from celeryql.definition.task_definition import TaskDefinition
from celeryql.records import Priority
from celeryql.submission.build import build_task
from celeryql.submission.message_template import message_for
from tasks.celery_app import app

KWARGS = {
    "text": "Zoë \U0001f40d", "x": 2.0, "none": None, "list": [{"a": 1}], "long": "x" * 2_000,
    "placeholders": '%(id)s %% \0id "\\u0000id"',
}  # fmt: skip


def decode(payload: str) -> dict[str, Any]:
    """Decode a message and its body, without the delivery tag, which is always new."""
    message: dict[str, Any] = json.loads(payload)
    message["body"] = json.loads(b64decode(message["body"]))
    assert message["properties"].pop("delivery_tag")
    return message


@pytest.mark.parametrize("definition", exposed_tasks(app).values(), ids=lambda d: d.name)
def test_a_message_from_a_template_equals_celerys_own(definition: TaskDefinition):
    with bound_contextvars(request_id="first", owner="ann"):
        message_for(definition, "1", {"of": "another"}, 6)

    with bound_contextvars(request_id="second", owner="bob"):
        built = message_for(definition, "2", KWARGS, 6)
        with capturing() as by_celery:
            shown = {"argsrepr": "()", "kwargsrepr": repr(KWARGS)[:1_024]}
            definition.task.apply_async(
                (), KWARGS, "2", priority=6, **shown, **build_only_options()
            )

    assert decode(built.payload) == decode(by_celery[0].payload)
    assert (built.queue, built.queue_list) == (by_celery[0].queue, by_celery[0].queue_list)
    assert (built.task_id, built.due_ms) == ("2", None)


def test_each_message_has_its_own_delivery_tag():
    add = exposed_tasks(app)["add"]

    first, second = [message_for(add, "1", {"x": 1, "y": 2}, 1) for _ in range(2)]

    assert first.tag != second.tag
    assert [json.loads(m.payload)["properties"]["delivery_tag"] for m in (first, second)] == [
        first.tag,
        second.tag,
    ]


def test_a_receiver_of_the_publish_signal_can_change_each_message():
    add = exposed_tasks(app)["add"]

    def mark(headers: dict[str, Any], **_: Any) -> None:
        headers["mark"] = headers["id"]

    signals.before_task_publish.connect(mark)
    try:
        made = [message_for(add, task_id, {"x": 1, "y": 2}, 1) for task_id in ("1", "2")]
    finally:
        signals.before_task_publish.disconnect(mark)

    assert [json.loads(message.payload)["headers"]["mark"] for message in made] == ["1", "2"]


def double(x: Annotated[float, Sensitive]) -> float:
    """Double it."""
    return 2 * x


def definition_of(name: str, **options: Any) -> TaskDefinition:
    """Declare a task for one test, and remove it from the app."""
    task = app.task(double, name=f"tests.{name}", shared=False, **options)
    app.tasks.pop(task.name)
    found: TaskDefinition = task.definition
    return found


def test_a_message_shows_no_sensitive_argument():
    definition = definition_of("secretive")

    made = [message_for(definition, "1", {"x": 4_711}, 1) for _ in range(2)]

    for message in made:
        headers = json.loads(message.payload)["headers"]
        assert (headers["argsrepr"], headers["kwargsrepr"]) == ("(...)", "{...}")
        assert "4711" not in message.payload


def test_a_task_class_with_its_own_apply_async_builds_each_message():
    class Marked(app.Task):  # type: ignore[name-defined]  # a class made at run time
        abstract = True

        def apply_async(self, *args: Any, **options: Any) -> Any:
            headers = {"mark": options["kwargs"]["x"]}
            return super().apply_async(*args, headers=headers, **options)

    definition = definition_of("marked", base=Marked)

    made = [message_for(definition, "1", {"x": x}, 1) for x in (1, 2)]

    assert [json.loads(message.payload)["headers"]["mark"] for message in made] == [1, 2]


def test_a_task_with_a_shadow_name_builds_each_message():
    def shadow_name(_: Task, args: Any, kwargs: Any, options: Any) -> str:
        return f"double {kwargs['x']}"

    definition = definition_of("shown", shadow_name=shadow_name)

    made = [message_for(definition, "1", {"x": x}, 1) for x in (1, 2)]

    shadows = [json.loads(message.payload)["headers"]["shadow"] for message in made]
    assert shadows == ["double 1", "double 2"]


def test_the_expiry_of_a_message_counts_from_its_own_call():
    definition = definition_of("expiring", expires=60)

    first, second = [message_for(definition, "1", {"x": 1}, 1) for _ in range(2)]

    expires = [json.loads(message.payload)["headers"]["expires"] for message in (first, second)]
    assert expires[0] < expires[1]


def test_each_priority_has_its_own_list():
    add = exposed_tasks(app)["add"]

    def list_of(priority: Priority) -> str:
        arguments = add.arguments(x=1, y=2)
        return build_task(add, arguments, EnqueueOptions(priority=priority)).messages[0].queue_list

    assert list_of(Priority.NORMAL) == "celery"
    assert list_of(Priority.LOW) == "celery\x06\x166"
