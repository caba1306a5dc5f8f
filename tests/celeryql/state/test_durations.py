"""How long tasks wait and run, as counted when their states are written."""

from __future__ import annotations

import re
from pathlib import Path

from celery import states

from celeryql import lua_functions
from celeryql.definition.options import EnqueueOptions
from celeryql.definition.task_definition import TaskDefinition
from celeryql.engine import Engine
from celeryql.state.durations import BOUNDS_MS, TaskDurations, read_task_durations
from tasks.arithmetic import add


async def durations(engine: Engine) -> TaskDurations:
    (found,) = await read_task_durations(engine.redis, ["add"])
    return found


async def accept(engine: Engine) -> str:
    definition: TaskDefinition = engine.definitions["add"]
    arguments = definition.arguments(x=1, y=2)
    return (await engine.submitter.enqueue(definition, arguments, EnqueueOptions(), "me")).record.id


def test_python_and_lua_count_with_the_same_bounds():
    lua = (Path(lua_functions.__file__).with_name("lua") / "modules" / "durations.lua").read_text()

    (listed,) = re.findall(r"BOUNDS_MS = \{(.*?)\}", lua, re.DOTALL)

    assert tuple(int(bound) for bound in listed.split(",")) == BOUNDS_MS


async def test_a_start_ends_the_wait_and_a_result_ends_the_run(engine, report):
    task_id = await accept(engine)
    attempt = report(add, task_id, states.STARTED)
    running = await durations(engine)
    report(add, task_id, states.SUCCESS, 3, attempt=attempt)

    ended = await durations(engine)

    assert (running.waits.at_most[-1], running.runs.at_most[-1]) == (1, 0)
    assert (ended.waits.at_most[-1], ended.runs.at_most[-1]) == (1, 1)
    assert ended.runs.at_most[BOUNDS_MS.index(5_000)] == 1


async def test_each_run_is_timed_but_only_the_first_wait(engine, report):
    task_id = await accept(engine)
    for retries, state in enumerate((states.RETRY, states.RETRY, states.SUCCESS)):
        attempt = report(add, task_id, states.STARTED, retries=retries)
        result = 3 if state == states.SUCCESS else ValueError("again")
        report(add, task_id, state, result, attempt=attempt, retries=retries)

    found = await durations(engine)

    assert (found.waits.at_most[-1], found.runs.at_most[-1]) == (1, 3)


async def test_a_task_that_never_starts_is_not_timed(engine):
    record = await engine.store.get(await accept(engine))

    await engine.control.cancel(record, terminate=False)

    found = await durations(engine)
    assert (found.waits.at_most[-1], found.runs.at_most[-1]) == (0, 0)


async def test_only_the_run_of_a_plain_callers_task_is_timed(engine, report):
    attempt = report(add, "plain", states.STARTED)
    report(add, "plain", states.SUCCESS, 3, attempt=attempt)

    found = await durations(engine)

    assert (found.waits.at_most[-1], found.runs.at_most[-1]) == (0, 1)
