"""Builds what is written of a task or a workflow when it is accepted; connects to nothing.

Celery and kombu make the messages themselves, on a transport that collects them; those of single
tasks are made after the first of their kind (`mould.py`).
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from celeryql.broker.captured_messages import (
    CELERY_PRIORITIES,
    CapturedMessage,
    build_only_options,
    capturing,
)
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

MAX_WORKFLOW_BYTES = 4_000_000  # of its messages and signatures together


def build_task(
    definition: TaskDefinition,
    arguments: TaskArguments,
    options: EnqueueOptions,
    retry_of: TaskId | None = None,
) -> Submission:
    """Build what is written of one task."""
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
    """A step that a retry need not run again: its result, Celery's meta of it, and its record."""

    result: Any
    meta: str
    record: Record
    input: dict[str, Any] | None


def build_workflow(
    workflow: Workflow,
    options: EnqueueOptions,
    content: Any,
    done: Mapping[TaskId, ReusedStep] | None = None,
    retry_of: TaskId | None = None,
) -> Submission:
    """Build what is written of a workflow.

    Args:
        workflow: with its ids.
        options: of the whole; a step's own come before them.
        content: what makes it the same as another, for the idempotency key; JSON.
        done: steps that need not run, by the id they have in this workflow.
        retry_of: the workflow that it is another run of.

    Raises:
        InvalidInput: it would be too large.
    """
    done = done or {}
    messages, signatures = _messages(workflow, options, done)
    _check_size([*(message.payload for message in messages), *signatures.values()])
    root = NewRecord(
        workflow.id,
        workflow.id,
        WORKFLOW,
        tags=options.tags,
        priority=options.priority or Priority.NORMAL,
        retry_of=retry_of,
    )
    steps = _step_records(workflow, options, done, signatures)
    kept = {"fields": _graph_fields(workflow, done), "signatures": signatures}
    reused = {task_id: of.meta for task_id, of in done.items()}
    return Submission([root, *steps], messages, options, content, kept, reused)


def _messages(
    workflow: Workflow, options: EnqueueOptions, done: Mapping[TaskId, ReusedStep]
) -> tuple[list[CapturedMessage], dict[TaskId, str]]:
    """Give the messages of the steps that are ready, and the signatures of those that wait."""
    results = {task_id: of.result for task_id, of in done.items()}
    signatures: dict[TaskId, str] = {}
    with capturing() as messages:
        for step in workflow.steps:
            if step.id in done:
                continue
            signature = step.signature(workflow.id, options.priority or Priority.NORMAL)
            handed = workflow.received_arguments(step, results)
            if handed is None:
                signatures[step.id] = json.dumps(signature)
            else:
                signature.apply_async(handed, **build_only_options())
    return messages, signatures


def _check_size(texts: list[str]) -> None:
    if sum(map(len, texts)) > MAX_WORKFLOW_BYTES:
        text = f"Its messages would exceed {MAX_WORKFLOW_BYTES:,} bytes: split it"
        raise InvalidInput([Problem(("input", "canvas"), text)])


def _step_records(
    workflow: Workflow,
    options: EnqueueOptions,
    done: Mapping[TaskId, ReusedStep],
    waiting: Container[TaskId],
) -> Iterator[NewRecord]:
    for step in workflow.steps:
        record = _step_record(step, workflow, options)
        if step.id in done:
            record = replace(record, **_reused_fields(done[step.id]))
        elif step.id in waiting:
            record = replace(record, state=TaskState.WAITING)
        yield record


def _reused_fields(done: ReusedStep) -> dict[str, Any]:
    """Give what the record of a step has from the run before."""
    kept = {"worker": done.record.worker}
    for name in ("started_at", "finished_at"):
        at = getattr(done.record, name)
        kept[name] = at and str(int(at.timestamp() * 1_000))
    return {
        "state": TaskState.SUCCEEDED,
        "attempt": done.record.attempt,
        "input": None if done.input is None else json.dumps(done.input),
        "kept": {name: value for name, value in kept.items() if value},
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


def _graph_fields(workflow: Workflow, done: Mapping[TaskId, ReusedStep]) -> dict[str, str]:
    """Give the fields of a workflow's hash, but the counts by state, which the script makes."""
    steps = [
        {
            "key": step.key,
            "id": step.id,
            "after": step.after,
            "open_parameter": step.open_parameter,
        }
        for step in workflow.steps
    ]
    fields = {"steps": json.dumps(steps), "total": str(len(steps)), "reused": str(len(done))}
    for i, join in enumerate(workflow.joins):
        fields[f"join:{i}"] = join.model_dump_json()
        fields[f"missing:{i}"] = str(sum(leaf not in done for leaf in leaves(join.value)))
    return fields | ({"name": workflow.name} if workflow.name else {})
