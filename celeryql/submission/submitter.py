"""The API's only way to the broker: a task and its message are accepted together, or not at all.

Celery and kombu build the messages without a connection; one Lua function writes the records and
pushes the messages. A task is therefore accepted at the instant at which it is in the broker.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

from prometheus_client import Histogram
from redis.asyncio import Redis

from celeryql.definition.arguments import TaskArguments
from celeryql.definition.options import EnqueueOptions
from celeryql.definition.task_definition import TaskDefinition
from celeryql.errors import Refusal, Throttled
from celeryql.observability.traces import span
from celeryql.settings import Settings
from celeryql.submission.accept import Accepted, AcceptResult, Submission, accept
from celeryql.submission.build import build_task, build_workflow
from celeryql.workflow.canvas import Workflow, fill_shape

_BUILD_IN_THREAD_ABOVE = 50  # steps; each takes 0.3 ms, which would block the event loop

logger = logging.getLogger(__name__)


class Submitter:
    """Accepts tasks and workflows for one installation."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._settings = settings
        self._redis = redis
        self._throttled_until: dict[str, float] = {}  # by owner
        self.durations = Histogram(
            "celeryql_enqueue_duration_seconds",
            "How long Redis took to accept, by definition.",
            ["definition"],
            registry=None,  # the process that serves metrics registers it
        )

    async def enqueue(
        self,
        definition: TaskDefinition,
        arguments: TaskArguments,
        options: EnqueueOptions,
        owner: str,
    ) -> Accepted:
        """Accept one task.

        Raises:
            InvalidInput: it would expire before it starts.
            IdempotencyConflict: the key was used for another input.
            Throttled: the queue is full, or the owner enqueues too fast.
            Unavailable: Redis did not answer.
        """
        return await self.submit(build_task(definition, arguments, options), owner)

    async def enqueue_workflow(
        self, workflow: Workflow, options: EnqueueOptions, owner: str
    ) -> Accepted:
        """Accept a workflow: its graph, the records of all steps, and the first messages.

        Raises:
            InvalidInput: its messages would be too large, or it would expire before it starts.
            IdempotencyConflict: the key was used for another canvas.
            Throttled: the queue is full, or the owner enqueues too fast.
            Unavailable: Redis did not answer.
        """
        build = partial(build_workflow, workflow, options, _workflow_content(workflow))
        return await self.submit(await build_off_loop(build, workflow), owner)

    async def enqueue_many(
        self, tasks: Sequence[Submission], owner: str, *, refused: int = 0
    ) -> AcceptResult:
        """Accept independent tasks in one round trip; each is accepted or refused alone.

        Args:
            tasks: the tasks to accept.
            owner: the owner of the tasks.
            refused: how many other tasks were refused; they count against the owner's rate.

        Raises:
            Unavailable: Redis did not answer.
        """
        label = _label(tasks)
        with span(f"enqueue {label}"), self.durations.labels(label).time():
            result = await accept(self._redis, self._settings, owner, tasks, refused=refused)
        self._note_wait(owner, result.wait_s)
        _log(tasks, result, owner)
        return result

    async def submit(self, submission: Submission, owner: str) -> Accepted:
        """Accept one submission.

        Raises:
            InvalidInput: it would expire before it starts.
            IdempotencyConflict: the key was used for another input.
            Throttled: the queue is full, or the owner enqueues too fast.
            Unavailable: Redis did not answer.
        """
        (outcome,) = (await self.enqueue_many([submission], owner)).outcomes
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def charge(self, owner: str) -> None:
        """Count refused input as one task against an owner's rate.

        Raises:
            Throttled: the owner sends refused input too fast.
            Unavailable: Redis did not answer.
        """
        result = await accept(self._redis, self._settings, owner, [], refused=1)
        self._note_wait(owner, result.wait_s)
        self.check_rate(owner)

    def check_rate(self, owner: str) -> None:
        """Refuse an owner whose refused input has used up the owner's rate.

        Call it before input is validated, which takes longer than the rest of an operation.

        Raises:
            Throttled: this process has seen that the rate is used up.
        """
        wait_s = self._throttled_until.get(owner, 0.0) - monotonic()
        if wait_s > 0:
            raise Throttled("rate", math.ceil(wait_s * 1_000) / 1_000)

    def _note_wait(self, owner: str, wait_s: float) -> None:
        if wait_s > 0:
            now = monotonic()
            current = {name: until for name, until in self._throttled_until.items() if until > now}
            self._throttled_until = current | {owner: now + wait_s}


def _label(tasks: Sequence[Submission]) -> str:
    return tasks[0].records[0].definition if len(tasks) == 1 else "batch"


def _log(tasks: Sequence[Submission], result: AcceptResult, owner: str) -> None:
    """Write one line about all newly accepted tasks."""
    new = [o.record for o in result.outcomes if isinstance(o, Accepted) and not o.deduplicated]
    if new:
        fields: dict[str, object] = {"definition": _label(tasks), "owner": owner}
        fields |= {"task_id": new[0].id} if len(tasks) == 1 else {"tasks": len(new)}
        logger.info("accepted", extra=fields)


async def build_off_loop(build: Callable[[], Submission], workflow: Workflow) -> Submission:
    """Build the submission of a workflow, in a thread if it is large."""
    if len(workflow.steps) > _BUILD_IN_THREAD_ABOVE:
        return await asyncio.to_thread(build)
    return build()


def _workflow_content(workflow: Workflow) -> list[object]:
    """Return JSON that is equal for equal workflows, for the idempotency key."""
    keys = {step.id: step.key for step in workflow.steps}
    piped = [fill_shape(join.value, keys) for join in workflow.joins]
    steps = [[s.key, s.node.definition.name, s.node.arguments, s.after] for s in workflow.steps]
    return [workflow.name, steps, piped]
