"""Clashing names stop the API and the worker at start, with one sentence that says why."""

from __future__ import annotations

import os
import re

import pytest
from graphql import parse

from celeryql.definition.signature import RESERVED_NAMES, canonical_name
from graphql_api.schema import build_schema
from tests.processes import run_to_end

MODULE = '''
"""A task file with an error."""

from celery import Task as CeleryTask
from pydantic import BaseModel

from tasks.celery_app import app


class {model}(BaseModel):
    """A model."""

    size: int


'''
DECLARED = '@app.task\ndef {0}:\n    """Do something."""\n'
REGISTERED = """class Stir(CeleryTask):
    name = "tasks.kitchen.stir"


app.register_task(Stir())
"""
BY_ALL = {
    "incomplete": (DECLARED.format("hum(x)"), "hum", "parameter 'x' is not annotated"),
    "reserved": (DECLARED.format("step() -> int"), "step", "the schema reserves the name 'step'"),
    "second": (DECLARED.format("add() -> int"), "add", "tasks.arithmetic.add has the same name"),
    "alike": (DECLARED.format("senDEmail() -> int"), "senDEmail", "tasks.email.send_email has"),
    "class": (REGISTERED, "stir", "it is not of the app's task class: base its class on `app."),
}
BY_THE_API = {
    "written": ("Queue", "hum() -> Queue", "would be named Queue, as is a type of the schema"),
    "scalar": ("DateTime", "hum() -> DateTime", "would be named DateTime, as is a type of"),
    "input": ("Canvas", "hum(x: Canvas) -> int", "would be named CanvasInput, as is a type of"),
    "its own": ("Hum", "hum(x: Hum) -> int", "would both be named HumInput in the schema"),
    "another's": ("AddTask", "hum() -> AddTask", "would both be named AddTask in the schema"),
}
API = ["-c", "from graphql_api.app import create_app; create_app()"]
WORKER = ["-m", "celery", "-A", "tasks", "worker", "--pool=solo"]


def assert_refused(ended, task, reason):
    """Check that a program exits with one sentence and no traceback."""
    sentences = [line for line in ended.stderr.splitlines() if "cannot be exposed" in line]
    assert ended.returncode == 78, ended.stderr
    assert "Traceback" not in ended.stderr
    assert sentences == ended.stderr.strip().splitlines()
    assert sentences[0].startswith(f"Task 'tasks.kitchen.{task}' cannot be exposed: ")
    assert reason in sentences[0]


@pytest.mark.slow
@pytest.mark.parametrize("case", BY_ALL)
def test_a_bad_task_definition_stops_the_api_and_the_worker(copy_project, case):
    source, task, reason = BY_ALL[case]
    project = copy_project(MODULE.format(model="Box") + source)

    assert_refused(run_to_end(API, project), task, reason)
    assert_refused(run_to_end(WORKER, project), task, reason)


@pytest.mark.slow
def test_two_models_with_one_name_stop_the_api_and_the_worker(copy_project):
    source = DECLARED.format("hum() -> EmailReceipt")
    project = copy_project(MODULE.format(model="EmailReceipt") + source)

    reason = "its type tasks.kitchen.EmailReceipt has the name of tasks.email.EmailReceipt"
    assert_refused(run_to_end(API, project), "hum", reason)
    assert_refused(run_to_end(WORKER, project), "hum", reason)


@pytest.mark.slow
@pytest.mark.parametrize("case", BY_THE_API)
def test_a_model_named_like_a_type_of_the_schema_stops_the_api(copy_project, case):
    model, signature, reason = BY_THE_API[case]
    project = copy_project(MODULE.format(model=model) + DECLARED.format(signature))

    assert_refused(run_to_end(API, project), "hum", reason)


@pytest.mark.slow
@pytest.mark.parametrize("restart", [[], ["--no-restart"]], ids=["", "--no-restart"])
def test_a_bad_task_file_stops_dev_up_with_one_sentence(copy_project, restart):
    project = copy_project(MODULE.format(model="Box") + DECLARED.format("hum(x) -> int"))

    ended = run_to_end(["-m", "graphql_api.local", *restart], project, REDIS_URL="")

    sentence = "Task 'tasks.kitchen.hum' cannot be exposed: parameter 'x' is not annotated."
    assert ended.returncode == os.EX_CONFIG
    assert sentence in ended.stdout.splitlines()
    assert "Traceback" not in ended.stdout


def test_every_stem_of_a_schema_name_is_reserved_or_in_use():
    api = build_schema()
    inputs = {t.__name__ for d in api.definitions.values() for t in d.types}
    known = {canonical_name(name) for name in (*api.definitions, *inputs, *RESERVED_NAMES)}
    derived = re.compile(
        r"(?:Enqueue(\w+)(?:Success|Payload)|(\w+?)(?:StepInput|Input|Arguments|Task))"
    )

    names = [d.name.value for d in parse(api.schema.as_str()).definitions if hasattr(d, "name")]
    stems = {canonical_name(m[1] or m[2]) for name in names if (m := derived.fullmatch(name))}

    assert stems - known == set()
