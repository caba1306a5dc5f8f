"""Control of what was accepted: canceling it, and running it once more."""

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
from celeryql.outages import unavailable_in_outage
from celeryql.records import Record, TaskId, TaskState
from celeryql.scripts import request, source
from celeryql.settings import Settings
from celeryql.state.graph import Graph, Join, Step
from celeryql.state.store import Store
from celeryql.submission.accept import Accepted, Submission, run_script
from celeryql.submission.build import ReusedStep, build_task, build_workflow
from celeryql.submission.retry_checks import input_mismatch, workflow_mismatches
from celeryql.submission.submitter import Submitter, build_off_loop
from celeryql.workflow.canvas import PlannedStep, StepNode, Workflow, fill_shape

_NO_SUCH, _HAS_ENDED = 0, 1  # what `lua/cancel.lua` answers


class RetryFrom(StrEnum):
    """Where a retry begins."""

    START = "START"
    FAILED_STEPS = "FAILED_STEPS"


@dataclass(frozen=True)
class CancelResult:
    """What came of a cancellation.

    Attributes:
        record: of the task or workflow, as it is then.
        count: tasks that were canceled, those that were told to stop included.
        still_running: tasks that run, and were not told to stop, or cannot be stopped.
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
        self._cancel = redis.register_script(source("cancel"))

    async def cancel(self, record: Record, *, terminate: bool) -> CancelResult:
        """Cancel what has not finished of a task, or of all steps of a workflow.

        Raises:
            NotFound: it is not kept any more.
            AlreadyFinished: there is nothing to cancel.
            Unavailable: Redis did not answer.
        """
        asked = request(self._settings, id=record.id, terminate=terminate)
        code, *rest = await run_script(self._cancel, [asked])
        if code == _NO_SUCH:
            raise NotFound(record.id)
        now = Record.read(json.loads(rest[0]))
        if code == _HAS_ENDED:
            raise AlreadyFinished(now)
        return CancelResult(now, rest[1], [TaskId(id_) for id_ in rest[2:]])

    async def retry(
        self, record: Record, from_: RetryFrom, idempotency_key: str | None, owner: str
    ) -> Accepted:
        """Accept a new task with the input of one that has ended.

        Raises:
            NotFinished: it has not ended.
            InvalidInput: nothing of it failed, its definition is gone, or its input was not kept,
                never complete, or does not fit its definition any more.
            IdempotencyConflict: the key was used for something else.
            Throttled: there is too much already.
            Unavailable: Redis did not answer.
        """
        if not record.state.is_final:
            raise NotFinished(record)
        if from_ is RetryFrom.FAILED_STEPS and record.state is TaskState.SUCCEEDED:
            raise _invalid_input("Nothing of it failed: retry it from START")
        options = _options(record, idempotency_key)
        with unavailable_in_outage():
            (graph,) = await self._store.graphs([record.id])
            if isinstance(graph, StoredByAnotherRelease):
                raise _invalid_input(str(graph))
            if graph is None:
                asked = await self._rebuild_task(record, options)
            else:
                asked = await self._rebuild_workflow(record, graph, options, from_)
        content = ["retry", record.id, from_]
        return await self._submitter.submit(replace(asked, content=content), owner)

    def _definition(self, record: Record) -> TaskDefinition:
        definition = self._definitions.get(record.definition or "")
        if definition is None:
            raise _invalid_input(f"There is no task definition {record.definition!r} any more")
        if definition.sensitive:
            names = ", ".join(sorted(definition.sensitive))
            raise _invalid_input(
                f"{definition.name!r} takes sensitive arguments ({names}), which are not kept: "
                "enqueue it again"
            )
        return definition

    async def _rebuild_task(self, record: Record, options: EnqueueOptions) -> Submission:
        definition = self._definition(record)
        (given,) = await self._store.inputs([record.id])
        if given is None:
            raise _invalid_input("Its input was not kept: enqueue it again")
        if record.root != record.id and (taken := await self._missing_parameter(record, given)):
            why = "took nothing that fits as" if record.attempt else "was never handed"
            raise _invalid_input(f"It {why} {taken!r}: retry its workflow, {record.root}")
        if reason := input_mismatch(definition, given):
            raise _invalid_input(f"Its input {reason}: enqueue it with another")
        return build_task(definition, definition.parse(given), options, retry_of=record.id)

    async def _missing_parameter(self, record: Record, given: dict[str, Any]) -> str | None:
        """Name the parameter that a step was to be handed, and was not."""
        (graph,) = await self._store.graphs([record.root])
        steps = graph.steps if isinstance(graph, Graph) else ()
        taken = next((step.open_parameter for step in steps if step.id == record.id), None)
        return None if taken in given else taken

    async def _rebuild_workflow(
        self, record: Record, graph: Graph, options: EnqueueOptions, from_: RetryFrom
    ) -> Submission:
        ids = [step.id for step in graph.steps]
        records = await self._store.get_many(ids)
        inputs = await self._store.inputs(ids)
        metas = await self._store.metas(ids)
        new_ids = {id_: TaskId(str(uuid4())) for id_ in ids}
        steps: list[PlannedStep] = []
        done: dict[TaskId, ReusedStep] = {}
        for step, old, given, meta in zip(graph.steps, records, inputs, metas, strict=True):
            if old is None:
                raise NotFound(record.id)
            new_id = new_ids[step.id]
            steps.append(self._rebuild_step(step, old, given or {}, new_id))
            if from_ is RetryFrom.FAILED_STEPS and old.state is TaskState.SUCCEEDED and meta:
                done[new_id] = ReusedStep(
                    meta["result"], json.dumps(meta | {"task_id": new_id}), old, given
                )
        joins = [
            Join(value=fill_shape(j.value, new_ids), targets=tuple(new_ids[t] for t in j.targets))
            for j in graph.joins
        ]
        workflow = Workflow(graph.name, tuple(steps), tuple(joins))
        results = {id_: of.result for id_, of in done.items()}
        if problems := [
            Problem(("id",), reason) for reason in workflow_mismatches(workflow, results)
        ]:
            raise InvalidInput(problems)
        build = partial(build_workflow, workflow, options, None, done, retry_of=record.id)
        return await build_off_loop(build, workflow)

    def _rebuild_step(
        self, step: Step, old: Record, given: dict[str, Any], new_id: TaskId
    ) -> PlannedStep:
        known = {name: value for name, value in given.items() if name != step.open_parameter}
        node = StepNode(step.key, self._definition(old), known, ("id",), _options(old))
        return PlannedStep(node, step.key, step.open_parameter, step.after, new_id)


def _options(record: Record, idempotency_key: str | None = None) -> EnqueueOptions:
    return EnqueueOptions(
        idempotency_key=idempotency_key,
        tags=record.tags,
        priority=record.priority,
        max_attempts=record.max_attempts,
    )


def _invalid_input(message: str) -> InvalidInput:
    return InvalidInput([Problem(("id",), message)])
