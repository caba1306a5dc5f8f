"""Run the operations of a page in order, and compare each answer with the printed one."""

from __future__ import annotations

import json
import re
from contextlib import aclosing
from typing import Any

from tests.client import Client

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CURSOR = re.compile(r"\d{13}-\d+")
NAMED = re.compile(rf"{UUID.pattern}|{CURSOR.pattern}")  # what a later operation may name
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")
JUST_ACCEPTED = ("QUEUED", "RUNNING", "SUCCEEDED")  # a worker may be faster than the answer
STATES = "subscription($id: ID!) { task(id: $id) { task { state progress { message } } } }"
VARYING = {  # members of an answer that differ a little from run to run
    "modelVersion": lambda _: "a version",
    "spamProbability": lambda probability: round(probability, 2),
    "worker": lambda name: name.partition("@")[0],
}


def documents(text: str) -> list[Any]:
    """Read one JSON document after another; `...` stands for documents that are left out."""
    found: list[Any] = []
    while text := text.lstrip():
        is_gap = text.startswith("...")
        document, end = (..., 3) if is_gap else json.JSONDecoder().raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def masked(value: Any, ids: list[str]) -> Any:
    """Replace what differs from run to run; ids and cursors by their order of appearance."""
    if isinstance(value, dict):
        return {k: masked(VARYING[k](v) if k in VARYING else v, ids) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(member, ids) for member in value]
    if not isinstance(value, str):
        return value
    ids += [id_ for id_ in NAMED.findall(value) if id_ not in ids]
    return TIME.sub("a time", NAMED.sub(lambda found: f"id {ids.index(found[0])}", value))


class Transcript:
    """Runs the operations of one page, with the real ids in place of the printed ones."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._printed_ids: list[str] = []
        self._real_ids: list[str] = []

    async def check(self, operation: str, printed: str) -> None:
        """Run one operation, and compare its answer with the printed one."""
        for printed_id, real_id in zip(self._printed_ids, self._real_ids, strict=True):
            operation = operation.replace(printed_id, real_id)
        expected = masked(documents(printed), self._printed_ids)
        answers = masked(await self._answers(operation, expected), self._real_ids)
        if ... in expected:
            gap = expected.index(...)
            answers[gap : len(answers) - len(expected[gap + 1 :])] = [...]
        assert answers == expected

    async def _answers(self, operation: str, expected: list[Any]) -> list[Any]:
        if operation.startswith("subscription") and "task" not in expected[0]["data"]:
            async with aclosing(self._client.watch(operation)) as messages:  # without an end
                return [(await anext(messages))["payload"] for _ in expected]
        if operation.startswith("subscription"):
            task = expected[0]["data"]["task"]["task"]
            await self._reach(UUID.search(operation)[0], task.get("progress"))
            return [{"data": {"task": event}} for event in await self._client.events(operation)]
        if operation.startswith("query"):
            for task_id in UUID.findall(operation):
                await self._client.events(STATES, id=task_id)
        answer = await self._client.answer(operation)
        for payload in answer["data"].values():
            if operation.startswith("mutation"):
                task = payload.get("task", {})
                task |= {"state": "QUEUED"} if task.get("state") in JUST_ACCEPTED else {}
        return [answer]

    async def _reach(self, task_id: str, progress: dict[str, Any] | None) -> None:
        """Wait until a task reports this progress; without one, until it has ended."""
        async with aclosing(self._client.watch(STATES, id=task_id)) as messages:
            async for message in messages:
                reported = message["payload"]["data"]["task"]["task"]["progress"]
                if progress and reported and reported["message"] == progress["message"]:
                    return
