"""Builds the submission of a task or a workflow, without a connection.

Celery and kombu build the messages of workflows on a transport that captures them. The messages of
single tasks are copied from a template (`message_template.py`).
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from celeryql.broker.captured_messages import (
    CapturedMessage,
    build_only_options,
    capturing,
)
from celeryql.broker.priorities import CELERY_PRIORITIES
from celeryql.definition.arguments import TaskArguments
from celeryql.definition.json_values import DUMP_OPTIONS
from celeryql.definition.options import EnqueueOptions
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import InvalidInput, Problem
from celeryql.records import WORKFLOW, Priority, Record, TaskId, TaskState
from celeryql.state.graph import leaves
from celeryql.submission.accept import NewRecord, Submission
from celeryql.submission.message_template import message_for
from celeryql.workflow.canvas import PlannedStep, Workflow

MAX_WORKFLOW_BYTES = 4_000_000  # messages and signatures together


def build_task(
    definition: TaskDefinition,
    arguments: TaskArguments,
    options: EnqueueOptions,
    retry_of: TaskId | None = None,
) -> Submission:
    """Build the submission of one task."""
    task_id = str(uuid4())
    kwargs = arguments.model_dump(mode="json", **DUMP_OPTIONS)
    priority = options.priority or Priority.NORMAL
    message = message_for(definition, task_id, kwargs, CELERY_PRIORITIES[priority])
    record = NewRecord(
        task_id,
        task_id,
        definition.name,
        queue=message.queue,
        tags=options.tags,
        priority=priority,
        max_attempts=options.max_attempts or definition.max_attempts,
        retry_of=retry_of,
        input=arguments.model_dump_json(exclude=set(definition.sensitive), **DUMP_OPTIONS),
    )
    return Submission([record], [message], options, [definition.name, kwargs])


@dataclass(frozen=True)
class ReusedStep:
    """A step that a retry does not run again.

    Attributes:
        result: its result.
        meta: Celery's result meta, as JSON.
        record: its record.
        input: its arguments; None if they were not stored.
    """

    result: Any
    meta: str
    record: Record
    input: dict[str, Any] | None


def build_workflow(
    workflow: Workflow,
    options: EnqueueOptions,
    content: Any,
    reused: Mapping[TaskId, ReusedStep] | None = None,
    retry_of: TaskId | None = None,
) -> Submission:
    """Build the submission of a workflow.

    Args:
        workflow: the planned workflow.
        options: the options of the workflow; those of a step override them.
        content: JSON that is equal for equal workflows, for the idempotency key.
        reused: steps that do not run again, by their id in this workflow.
        retry_of: the workflow that this one retries.

    Raises:
        InvalidInput: it would be too large.
    """
    reused = reused or {}
    messages, signatures = _messages(workflow, options, reused)
    _check_size([*(message.payload for message in messages), *signatures.values()])
    root = NewRecord(
        workflow.id,
        workflow.id,
        WORKFLOW,
        tags=options.tags,
        priority=options.priority or Priority.NORMAL,
        retry_of=retry_of,
    )
    steps = _step_records(workflow, options, reused, signatures)
    graph = {"fields": _graph_fields(workflow, reused), "signatures": signatures}
    metas = {task_id: step.meta for task_id, step in reused.items()}
    return Submission([root, *steps], messages, options, content, graph, metas)


def _messages(
    workflow: Workflow, options: EnqueueOptions, reused: Mapping[TaskId, ReusedStep]
) -> tuple[list[CapturedMessage], dict[TaskId, str]]:
    """Return the messages of the steps that can start, and the signatures of those that wait."""
    results = {task_id: step.result for task_id, step in reused.items()}
    signatures: dict[TaskId, str] = {}
    with capturing() as messages:
        for step in workflow.steps:
            if step.id in reused:
                continue
            signature = step.signature(workflow.id, options.priority or Priority.NORMAL)
            received = workflow.received_arguments(step, results)
            if received is None:
                signatures[step.id] = json.dumps(signature)
            else:
                signature.apply_async(received, **build_only_options())
    return messages, signatures


def _check_size(texts: list[str]) -> None:
    if sum(map(len, texts)) > MAX_WORKFLOW_BYTES:
        text = (
            f"The workflow's messages would exceed {MAX_WORKFLOW_BYTES:,} bytes: split the workflow"
        )
        raise InvalidInput([Problem(("input", "canvas"), text)])


def _step_records(
    workflow: Workflow,
    options: EnqueueOptions,
    reused: Mapping[TaskId, ReusedStep],
    waiting: Container[TaskId],
) -> Iterator[NewRecord]:
    for step in workflow.steps:
        record = _step_record(step, workflow, options)
        if step.id in reused:
            record = replace(record, **_reused_fields(reused[step.id]))
        elif step.id in waiting:
            record = replace(record, state=TaskState.WAITING)
        yield record


def _reused_fields(reused: ReusedStep) -> dict[str, Any]:
    """Return the fields that the record of a step copies from the run before."""
    copied = {"worker": reused.record.worker}
    for name in ("started_at", "finished_at"):
        at = getattr(reused.record, name)
        copied[name] = at and str(int(at.timestamp() * 1_000))
    return {
        "state": TaskState.SUCCEEDED,
        "attempt": reused.record.attempt,
        "input": None if reused.input is None else json.dumps(reused.input),
        "copied": {name: value for name, value in copied.items() if value},
    }


def _step_record(step: PlannedStep, workflow: Workflow, options: EnqueueOptions) -> NewRecord:
    definition, own = step.node.definition, step.node.options
    return NewRecord(
        step.id,
        workflow.id,
        definition.name,
        key=step.key,
        queue=definition.queue,
        feeds=workflow.feeds.get(step.id),
        tags=own.tags,
        priority=own.priority or options.priority or Priority.NORMAL,
        max_attempts=own.max_attempts or options.max_attempts or definition.max_attempts,
        input=json.dumps(step.known_input),
    )


def _graph_fields(workflow: Workflow, reused: Mapping[TaskId, ReusedStep]) -> dict[str, str]:
    """Return the fields of a workflow's hash; Redis adds the counts by state."""
    steps = [
        {
            "key": step.key,
            "id": step.id,
            "after": step.after,
            "open_parameter": step.open_parameter,
        }
        for step in workflow.steps
    ]
    fields = {"steps": json.dumps(steps), "total": str(len(steps)), "reused": str(len(reused))}
    for i, join in enumerate(workflow.joins):
        fields[f"join:{i}"] = join.model_dump_json()
        fields[f"missing:{i}"] = str(sum(leaf not in reused for leaf in leaves(join.value)))
    return fields | ({"name": workflow.name} if workflow.name else {})
