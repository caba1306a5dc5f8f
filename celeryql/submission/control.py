"""Cancels accepted tasks, and retries those that have ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from celeryql.definition.options import EnqueueOptions
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import (
    AlreadyFinished,
    InvalidInput,
    NotFinished,
    NotFound,
    Problem,
    StoredByAnotherRelease,
)
from celeryql.lua_functions import encode_request
from celeryql.outages import unavailable_in_outage
from celeryql.records import Record, TaskId, TaskState
from celeryql.settings import Settings
from celeryql.state.graph import Graph, Join, Step
from celeryql.state.store import Store
from celeryql.submission.accept import Accepted, Submission, call_once
from celeryql.submission.build import ReusedStep, build_task, build_workflow
from celeryql.submission.retry_checks import input_mismatch, workflow_mismatches
from celeryql.submission.submitter import Submitter, build_off_loop
from celeryql.workflow.canvas import PlannedStep, StepNode, Workflow, fill_shape

_NOT_FOUND, _ALREADY_FINISHED = 0, 1  # of `lua/functions/cancel.lua`


class RetryFrom(StrEnum):
    """Which steps a retry runs: all, or those that did not succeed."""

    START = "START"
    FAILED_STEPS = "FAILED_STEPS"


@dataclass(frozen=True)
class CancelResult:
    """The outcome of a cancellation.

    Attributes:
        record: the record of the task or workflow after the cancellation.
        count: how many tasks are canceled, including those that their worker will terminate.
        still_running: tasks that continue to run: they are not to be terminated, or cannot be.
    """

    record: Record
    count: int
    still_running: list[TaskId]


class Control:
    """Cancels and retries for one installation."""

    def __init__(
        self,
        redis: Redis,
        settings: Settings,
        store: Store,
        submitter: Submitter,
        definitions: Mapping[str, TaskDefinition],
    ) -> None:
        self._settings = settings
        self._store = store
        self._submitter = submitter
        self._definitions = definitions
        self._redis = redis

    async def cancel(self, record: Record, *, terminate: bool) -> CancelResult:
        """Cancel a task, or all steps of a workflow that have not finished.

        Raises:
            NotFound: it has expired.
            AlreadyFinished: it has ended.
            Unavailable: Redis did not answer.
        """
        request = encode_request(self._settings, id=record.id, terminate=terminate)
        code, *rest = await call_once(self._redis, "cancel", request)
        if code == _NOT_FOUND:
            raise NotFound(record.id)
        current = Record.read(json.loads(rest[0]))
        if code == _ALREADY_FINISHED:
            raise AlreadyFinished(current)
        return CancelResult(current, rest[1], [TaskId(id_) for id_ in rest[2:]])

    async def retry(
        self, record: Record, from_: RetryFrom, idempotency_key: str | None, owner: str
    ) -> Accepted:
        """Accept a new task with the input of one that has ended.

        Raises:
            NotFinished: it has not ended.
            InvalidInput: no step failed, its definition no longer exists, or its input was not
                stored, is incomplete, or no longer fits the definition.
            IdempotencyConflict: the key was used for something else.
            Throttled: the queue is full, or the owner enqueues too fast.
            Unavailable: Redis did not answer.
        """
        if not record.state.is_final:
            raise NotFinished(record)
        if from_ is RetryFrom.FAILED_STEPS and record.state is TaskState.SUCCEEDED:
            raise _invalid_input("The task succeeded, so it has no failed steps: use `from: START`")
        options = _options(record, idempotency_key)
        with unavailable_in_outage():
            (graph,) = await self._store.read_graphs([record.id])
            if isinstance(graph, StoredByAnotherRelease):
                raise _invalid_input(str(graph))
            if graph is None:
                submission = await self._rebuild_task(record, options)
            else:
                submission = await self._rebuild_workflow(record, graph, options, from_)
        content = ["retry", record.id, from_]
        return await self._submitter.submit(replace(submission, content=content), owner)

    def _definition(self, record: Record) -> TaskDefinition:
        definition = self._definitions.get(record.definition or "")
        if definition is None:
            raise _invalid_input(f"There is no task definition {record.definition!r} any more")
        if definition.sensitive:
            names = ", ".join(sorted(definition.sensitive))
            raise _invalid_input(
                f"{definition.name!r} takes sensitive arguments ({names}), which are not stored: "
                "enqueue it again"
            )
        return definition

    async def _rebuild_task(self, record: Record, options: EnqueueOptions) -> Submission:
        definition = self._definition(record)
        (given,) = await self._store.read_inputs([record.id])
        if given is None:
            raise _invalid_input("The task's input was not stored: enqueue it again")
        if record.root != record.id and (name := await self._missing_parameter(record, given)):
            why = "received no valid" if record.attempt else "never received"
            raise _invalid_input(f"The step {why} argument {name!r}: retry workflow {record.root}")
        if reason := input_mismatch(definition, given):
            raise _invalid_input(f"The task's input {reason}: enqueue it with another input")
        return build_task(definition, definition.parse(given), options, retry_of=record.id)

    async def _missing_parameter(self, record: Record, given: dict[str, Any]) -> str | None:
        """Return the parameter whose piped value a step did not receive."""
        (graph,) = await self._store.read_graphs([record.root])
        steps = graph.steps if isinstance(graph, Graph) else ()
        parameter = next((step.open_parameter for step in steps if step.id == record.id), None)
        return None if parameter in given else parameter

    async def _rebuild_workflow(
        self, record: Record, graph: Graph, options: EnqueueOptions, from_: RetryFrom
    ) -> Submission:
        new_ids = {step.id: TaskId(str(uuid4())) for step in graph.steps}
        steps: list[PlannedStep] = []
        reused: dict[TaskId, ReusedStep] = {}
        stored_steps = await self._stored_steps(record, graph)
        for step, stored in zip(graph.steps, stored_steps, strict=True):
            new_id = new_ids[step.id]
            steps.append(self._rebuild_step(step, stored, new_id))
            has_succeeded = stored.record.state is TaskState.SUCCEEDED
            if from_ is RetryFrom.FAILED_STEPS and has_succeeded and stored.meta:
                reused[new_id] = stored.reused(new_id)
        joins = [
            Join(value=fill_shape(j.value, new_ids), targets=tuple(new_ids[t] for t in j.targets))
            for j in graph.joins
        ]
        workflow = Workflow(graph.name, tuple(steps), tuple(joins))
        results = {task_id: step.result for task_id, step in reused.items()}
        if problems := [Problem(("id",), why) for why in workflow_mismatches(workflow, results)]:
            raise InvalidInput(problems)
        build = partial(build_workflow, workflow, options, None, reused, retry_of=record.id)
        return await build_off_loop(build, workflow)

    async def _stored_steps(self, record: Record, graph: Graph) -> list[_StoredStep]:
        ids = [step.id for step in graph.steps]
        records = await self._store.get_many(ids)
        inputs = await self._store.read_inputs(ids)
        metas = await self._store.read_metas(ids)
        found: list[_StoredStep] = []
        for old, given, meta in zip(records, inputs, metas, strict=True):
            if old is None:
                raise NotFound(record.id)
            found.append(_StoredStep(old, given, meta))
        return found

    def _rebuild_step(self, step: Step, stored: _StoredStep, new_id: TaskId) -> PlannedStep:
        given = stored.input or {}
        known = {name: value for name, value in given.items() if name != step.open_parameter}
        old = stored.record
        node = StepNode(step.key, self._definition(old), known, ("id",), _options(old))
        return PlannedStep(node, step.key, step.open_parameter, step.after, new_id)


@dataclass(frozen=True)
class _StoredStep:
    """What Redis holds of a step: its record, its input, and Celery's result meta."""

    record: Record
    input: dict[str, Any] | None
    meta: dict[str, Any] | None

    def reused(self, new_id: TaskId) -> ReusedStep:
        """Return it as a step that a retry does not run again; it has a meta."""
        meta = self.meta or {}
        new_meta = json.dumps(meta | {"task_id": new_id})
        return ReusedStep(meta["result"], new_meta, self.record, self.input)


def _options(record: Record, idempotency_key: str | None = None) -> EnqueueOptions:
    return EnqueueOptions(
        idempotency_key=idempotency_key,
        tags=record.tags,
        priority=record.priority,
        max_attempts=record.max_attempts,
    )


def _invalid_input(message: str) -> InvalidInput:
    return InvalidInput([Problem(("id",), message)])
