"""Every workflow ends, whichever of its steps fail, are retried, are lost or are canceled.

The real scripts accept random canvases, and the test plays the worker: it takes messages in any
order, loses some, receives some twice, and writes states through the real backend, some of them
twice.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from typing import Any

import pytest
from celery import Celery, states
from celery.app.task import Context
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, create_model
from redis import Redis

from celeryql.broker.captured_messages import CAPTURING_CONNECTION, start_capture
from celeryql.definition.arguments import TaskArguments
from celeryql.definition.options import EnqueueOptions
from celeryql.definition.signature import JsonExamples
from celeryql.definition.task_definition import TaskDefinition
from celeryql.engine import Engine
from celeryql.lua_functions import call, encode_request
from celeryql.records import Record, TaskId, TaskState
from celeryql.settings import Settings
from celeryql.state.graph import Graph
from celeryql.submission.accept import encode_call
from celeryql.submission.build import build_workflow
from celeryql.submission.control import RetryFrom
from celeryql.worker.result_backend import Backend
from celeryql.worker.task_class import TypedTask
from celeryql.workflow.canvas import ChainNode, GroupNode, Node, StepNode
from celeryql.workflow.planner import plan

SETTINGS = Settings()
NOTHING = "no value is piped"


class AnyTask(TypedTask):
    """Takes and returns any value, which no task of the API may."""

    def __init__(self) -> None:
        """Derive no definition from the function."""


app = Celery("canvases", task_cls=AnyTask, set_as_current=False, fixups=[])


@app.task(name="start", shared=False)
def start() -> Any:
    """Take nothing."""


@app.task(name="take", shared=False)
def take(value: Any) -> Any:
    """Take one value."""


def definition(task: Any, **parameters: Any) -> TaskDefinition:
    return TaskDefinition(
        name=task.name,
        description="",
        task=task,
        arguments=create_model("AnyArguments", __base__=TaskArguments, **parameters),
        result=TypeAdapter(Any),
        sensitive=frozenset(),
        types=frozenset(),
        examples=JsonExamples([], []),
    )


START, TAKE = definition(start), definition(take, value=(Any, ...))

# A canvas is a leaf, which takes the piped value or ignores it, or a list of canvases.
CANVASES = st.recursive(
    st.booleans(),
    lambda inner: st.tuples(st.sampled_from(["chain", "group"]), st.lists(inner, min_size=1)),
    max_leaves=12,
)


class Model:
    """What a canvas should do, without joins: the value that each step receives, and its needs."""

    def __init__(self, canvas: Any) -> None:
        self.received: dict[str, Any] = {}
        self.needs: dict[str, set[str]] = {}
        self.node, _, _ = self._walk(canvas, NOTHING, set())

    def _walk(self, canvas: Any, piped: Any, needs: set[str]) -> tuple[Node, Any, set[str]]:
        if isinstance(canvas, bool):
            key = f"s{len(self.needs)}"
            takes = canvas and piped is not NOTHING
            self.received[key], self.needs[key] = (piped if takes else NOTHING), needs
            return StepNode(key, TAKE if takes else START, {}, ()), key, {key}
        kind, members = canvas
        if kind == "group":
            parts = [self._walk(member, piped, needs) for member in members]
            values: list[Any] = []
            for member, (_, value, _) in zip(members, parts, strict=True):
                is_group = not isinstance(member, bool) and member[0] == "group"
                values += value if is_group else [value]
            ends = set().union(*(ends for _, _, ends in parts))
            return GroupNode(tuple(node for node, _, _ in parts)), values, ends
        nodes = []
        for member in members:
            node, piped, needs = self._walk(member, piped, needs)
            nodes.append(node)
        return ChainNode(tuple(nodes)), piped, needs


class Play:
    """Plays the worker of an accepted workflow."""

    def __init__(self, redis: Redis, backend: Backend, root: TaskId) -> None:
        self.redis, self.backend, self.root = redis, backend, root
        self.taken: dict[str, Any] = {}
        self.keys = {step.id: step.key for step in self.graph().steps}

    @classmethod
    def of(cls, redis: Redis, backend: Backend, node: Node) -> Play:
        """Empty Redis and accept a canvas."""
        redis.flushdb()
        submission = build_workflow(plan("any", node, max_steps=100), EnqueueOptions(), "content")
        call(redis, "accept", *encode_call(SETTINGS, "ann", [submission]))
        return cls(redis, backend, TaskId(submission.records[0].id))

    def cancel(self, task_id: str) -> None:
        call(self.redis, "cancel", encode_request(SETTINGS, id=task_id))

    def sweep(self) -> None:
        self.redis.delete("celeryql:sweep")
        for task_id in self.redis.zrange("celeryql:scheduled", 0, -1):
            self.redis.zadd("celeryql:scheduled", {task_id: 0})
        call(self.redis, "sweep", encode_request(SETTINGS))

    def waiting(self) -> list[str]:
        return self.redis.lrange("celery", 0, -1)

    def take(self, message: str) -> Context:
        self.redis.lrem("celery", 1, message)
        decoded = json.loads(message)
        task_id = decoded["headers"]["id"]
        args, kwargs, _ = json.loads(base64.b64decode(decoded["body"]))
        self.taken[self.keys[task_id]] = args[0] if args else NOTHING
        fields = {name: decoded["headers"][name] for name in ("id", "task", "retries")}
        fields |= {"args": args, "kwargs": kwargs, "hostname": "w@host", "delivery_info": {}}
        fields["properties"] = decoded["properties"]
        entry = json.dumps([decoded, "celery", "celery"])
        assert call(self.redis, "take_message", decoded["properties"]["delivery_tag"], entry)
        return Context(fields)

    def acknowledge(self, context: Context) -> None:
        self.redis.hdel("unacked", context.properties["delivery_tag"])

    def perform(self, message: str, context: Context, outcome: str, *, is_repeated: bool) -> None:
        """Start a task, and end it or retry it.

        If `is_repeated`, each state is written twice and the message is delivered again, as after a
        lost answer.
        """
        task_id = context.id
        context.attempt = self.backend.mark_as_started(task_id, request=context)
        if context.attempt is None:
            return
        is_first = context.attempt.number == 1
        if outcome == "lose" and is_first:
            self.backend.leases.end("w@host", [task_id])
            self.redis.rpush("celery", message)
            return
        if is_repeated:
            assert self.backend.mark_as_started(task_id, request=context) is None
        for _ in range(1 + is_repeated):
            if outcome == "retry" and is_first:
                self._retry(context)
            elif outcome == "fail":
                error = ValueError(self.keys[task_id])
                self.backend.store_result(task_id, error, states.FAILURE, request=context)
            else:
                start_capture()
                value = self.keys[task_id]
                self.backend.store_result(task_id, value, states.SUCCESS, request=context)
        if is_repeated:
            self.redis.rpush("celery", message)

    def _retry(self, context: Context) -> None:
        start_capture()
        again = app.tasks[context.task].signature(context.args, priority=1, countdown=1)
        retries = context.retries + 1
        again.apply_async(task_id=context.id, connection=CAPTURING_CONNECTION, retries=retries)
        self.backend.store_result(context.id, OSError(), states.RETRY, request=context)

    def record(self, task_id: str) -> Record:
        fields = self.redis.hgetall(f"celeryql:task:{task_id}")
        return Record.model_validate(fields | {"id": task_id})

    def graph(self) -> Graph:
        return Graph.parse(self.redis.hgetall(f"celeryql:workflow:{self.root}"))

    def history(self) -> list[tuple[str, dict[str, Any]]]:
        entries = self.redis.lrange(f"celeryql:events:{self.root}", 0, -1)
        return [(e.split(" ", 1)[0], json.loads(e.split(" ", 1)[1])) for e in entries]


@pytest.fixture
def backend(url: str) -> Backend:
    return Backend(app=app, url=url)


@hypothesis_settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    canvas=CANVASES,
    outcomes=st.lists(
        st.sampled_from(["succeed", "succeed", "fail", "retry", "lose"]), min_size=12
    ),
    cancel_at=st.integers(0, 20),
    cancel_what=st.none() | st.integers(0, 12),
    order=st.randoms(use_true_random=False),
)
def test_every_workflow_ends(empty_redis, backend, canvas, outcomes, cancel_at, cancel_what, order):
    model = Model(canvas)
    play = Play.of(empty_redis, backend, model.node)

    _perform_all(play, outcomes, cancel_at, cancel_what, order)

    _check_ends(play, model)
    _check_history(play)


@hypothesis_settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    canvas=CANVASES,
    outcomes=st.lists(st.sampled_from(["succeed", "succeed", "fail"]), min_size=12),
    order=st.randoms(use_true_random=False),
)
def test_a_retry_runs_exactly_the_steps_that_did_not_succeed(
    empty_redis, backend, url, canvas, outcomes, order
):
    model = Model(canvas)
    first = Play.of(empty_redis, backend, model.node)
    _perform_all(first, outcomes, 0, None, order)
    assume(first.record(first.root).state is not TaskState.SUCCEEDED)

    second = Play(empty_redis, backend, asyncio.run(_retry(url, first.record(first.root))))
    _perform_all(second, ["succeed"], 0, None, order)

    assert second.record(second.root).state is TaskState.SUCCEEDED
    _check_ends_of_retry(first, second, model)


async def _retry(url: str, record: Record) -> TaskId:
    definitions = {"start": START, "take": TAKE}
    async with Engine(Settings(redis_url=url), definitions, ()) as engine:
        accepted = await engine.control.retry(record, RetryFrom.FAILED_STEPS, None, "ann")
    return accepted.record.id


def _check_ends_of_retry(first: Play, second: Play, model: Model) -> None:
    before = {step.key: first.record(step.id).state for step in first.graph().steps}
    succeeded = {key for key, state in before.items() if state is TaskState.SUCCEEDED}
    assert second.taken == {k: v for k, v in model.received.items() if k not in succeeded}


def _perform_all(
    play: Play, outcomes: list[str], cancel_at: int, cancel_what: int | None, order: random.Random
) -> None:
    ids = [play.root, *play.keys]
    performed = 0
    while True:
        message = order.choice(waiting) if (waiting := play.waiting()) else None
        taken = play.take(message) if message else None
        if performed == cancel_at and cancel_what is not None:
            play.cancel(ids[cancel_what % len(ids)])  # between receipt and start
        if message and taken:
            outcome = outcomes[int(play.keys[taken.id][1:]) % len(outcomes)]
            play.perform(message, taken, outcome, is_repeated=order.random() < 0.3)
            play.acknowledge(taken)
        elif play.redis.exists("celeryql:scheduled"):
            play.sweep()
        else:
            return
        performed += 1


def _check_ends(play: Play, model: Model) -> None:
    steps = {step.key: play.record(step.id) for step in play.graph().steps}
    assert {key for key, step in steps.items() if not step.state.is_final} == set()
    for key, step in steps.items():
        needs_lost = any(steps[need].state is not TaskState.SUCCEEDED for need in model.needs[key])
        if needs_lost:
            assert step.state in (TaskState.SKIPPED, TaskState.CANCELED), key
        else:
            assert step.state is not TaskState.SKIPPED, key
        if step.state is TaskState.SKIPPED:
            assert steps[step.failure.caused_by].state in (TaskState.FAILED, TaskState.CANCELED)
        if step.state is TaskState.SUCCEEDED:
            assert play.taken[key] == model.received[key]
    found = {step.state for step in steps.values()}
    expected = next(
        (s for s in (TaskState.FAILED, TaskState.CANCELED) if s in found), TaskState.SUCCEEDED
    )
    assert play.record(play.root).state is expected
    counts = {state: n for state, n in play.graph().counts.items() if n and state != "total"}
    assert counts == {s: [r.state for r in steps.values()].count(s) for s in found}
    left = ["celery", "unacked", "celeryql:outbox", "celeryql:outbox_index:celery"]
    left += ["celeryql:scheduled_messages", f"celeryql:signatures:{play.root}"]
    assert [key for key in left if play.redis.exists(key)] == []


def _check_history(play: Play) -> None:
    history = play.history()
    cursors = [tuple(map(int, cursor.split("-"))) for cursor, _ in history]
    assert cursors == sorted(set(cursors))
    versions: dict[str, int] = {}
    for _, event in history:
        root = [(play.root, event["workflow"])] if "workflow" in event else []
        for task_id, fields in [(event["id"], event), *root]:
            assert int(fields["version"]) == versions.get(task_id, 0) + 1
            versions[task_id] = int(fields["version"])
    assert history[-1][1]["id"] == play.root
    assert TaskState(history[-1][1]["state"]).is_final
