"""The only door to the broker: a task and its message are accepted together, or not at all.

Celery and kombu build the messages without connecting; one Lua script writes the records and pushes
the messages. So "accepted" and "in the broker" are the same instant.
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
from celeryql.scripts import source
from celeryql.settings import Settings
from celeryql.submission.accept import Accepted, AcceptResult, Submission, accept
from celeryql.submission.build import build_task, build_workflow
from celeryql.workflow.canvas import Workflow, fill_shape

_BUILD_IN_THREAD_ABOVE = 50  # steps; building takes 0.3 ms each and would hold the event loop

logger = logging.getLogger(__name__)


class Submitter:
    """Accepts tasks and workflows for one installation."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._settings = settings
        self._script = redis.register_script(source("accept"))
        self._waits_until: dict[str, float] = {}  # by owner
        self.durations = Histogram(
            "celeryql_enqueue_duration_seconds",
            "How long Redis took to accept, by definition.",
            ["definition"],
            registry=None,  # of the process that serves them
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
            Throttled: there is too much already.
            Unavailable: Redis did not answer.
        """
        return await self.submit(build_task(definition, arguments, options), owner)

    async def enqueue_workflow(
        self, workflow: Workflow, options: EnqueueOptions, owner: str
    ) -> Accepted:
        """Accept a whole workflow: graph, records of all steps, first messages.

        Raises:
            InvalidInput: its messages would be too large, or it would expire before it starts.
            IdempotencyConflict: the key was used for another canvas.
            Throttled: there is too much already.
            Unavailable: Redis did not answer.
        """
        build = partial(build_workflow, workflow, options, _workflow_content(workflow))
        return await self.submit(await build_off_loop(build, workflow), owner)

    async def enqueue_many(
        self, tasks: Sequence[Submission], owner: str, *, refused: int = 0
    ) -> AcceptResult:
        """Accept many independent tasks in one round trip, each alone.

        Args:
            tasks: what is to be accepted.
            owner: to whom they belong.
            refused: how many beside them were refused, which count against the owner's rate.

        Raises:
            Unavailable: Redis did not answer.
        """
        what = _label(tasks)
        with span(f"enqueue {what}"), self.durations.labels(what).time():
            answers = await accept(self._script, self._settings, owner, tasks, refused=refused)
        self._note_wait(owner, answers.wait_s)
        _log(tasks, answers, owner)
        return answers

    async def submit(self, asked: Submission, owner: str) -> Accepted:
        """Accept one request.

        Raises:
            InvalidInput: it would expire before it starts.
            IdempotencyConflict: the key was used for another input.
            Throttled: there is too much already.
            Unavailable: Redis did not answer.
        """
        (outcome,) = (await self.enqueue_many([asked], owner)).outcomes
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def charge(self, owner: str) -> None:
        """Count input that was refused against an owner's rate, as a task.

        Raises:
            Throttled: there was too much already.
            Unavailable: Redis did not answer.
        """
        answers = await accept(self._script, self._settings, owner, [], refused=1)
        self._note_wait(owner, answers.wait_s)
        self.check_rate(owner)

    def check_rate(self, owner: str) -> None:
        """See that an owner's refused input has not used up the owner's rate.

        Nothing is checked for an owner who has to wait: to check takes longer than all else.

        Raises:
            Throttled: it has, as far as this process knows.
        """
        wait_s = self._waits_until.get(owner, 0.0) - monotonic()
        if wait_s > 0:
            raise Throttled("rate", math.ceil(wait_s * 1_000) / 1_000)

    def _note_wait(self, owner: str, wait_s: float) -> None:
        if wait_s > 0:
            now = monotonic()
            waiting = {other: until for other, until in self._waits_until.items() if until > now}
            self._waits_until = waiting | {owner: now + wait_s}


def _label(tasks: Sequence[Submission]) -> str:
    return tasks[0].records[0].definition if len(tasks) == 1 else "batch"


def _log(tasks: Sequence[Submission], answers: AcceptResult, owner: str) -> None:
    """Write one line of what is new, however much it is."""
    new = [o.record for o in answers.outcomes if isinstance(o, Accepted) and not o.deduplicated]
    if new:
        told: dict[str, object] = {"definition": _label(tasks), "owner": owner}
        told |= {"task_id": new[0].id} if len(tasks) == 1 else {"tasks": len(new)}
        logger.info("accepted", extra=told)


async def build_off_loop(build: Callable[[], Submission], workflow: Workflow) -> Submission:
    """Build what is written of a workflow; of a large one in a thread."""
    if len(workflow.steps) > _BUILD_IN_THREAD_ABOVE:
        return await asyncio.to_thread(build)
    return build()


def _workflow_content(workflow: Workflow) -> list[object]:
    """Say what makes a workflow the same as another, for the idempotency key."""
    keys = {step.id: step.key for step in workflow.steps}
    handed = [fill_shape(join.value, keys) for join in workflow.joins]
    steps = [[s.key, s.node.definition.name, s.node.arguments, s.after] for s in workflow.steps]
    return [workflow.name, steps, handed]
