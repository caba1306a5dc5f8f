"""The tables of the reference pages list what the code has, no more and no less."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from enum import Enum

import graphql
import httpx
import pytest

from celeryql.settings import PROJECT_ROOT, Settings
from graphql_api.api_errors import ErrorCode
from tasks.settings import TaskSettings
from tests.docs.pages import examples, page, section

SCHEMA = graphql.build_schema((PROJECT_ROOT / "schema.graphql").read_text())
PROGRAMS = {  # heading on docs/command-line.md, and the module whose options are below it
    "./dev up": "graphql_api.local",
    "./dev bench": "bench",
    "The API alone": "graphql_api.server",
    "The schema": "graphql_api.schema",
}


def rows(text: str) -> list[tuple[str, ...]]:
    """List the rows of the tables in a text whose first cell is in code, cell by cell."""
    cells = re.findall(r"^\| (`[^|]+) \|(.*)\|$", text, re.MULTILINE)
    return [(first, *(cell.strip() for cell in rest.split("|"))) for first, rest in cells]


def names(text: str) -> list[str]:
    """List what is in code in the first cells of the tables in a text."""
    return [name for first, *_ in rows(text) for name in re.findall(r"`([^`]+)`", first)]


def test_the_settings_tables_are_the_settings():
    def default(value: object) -> str:
        plain = value.value if isinstance(value, Enum) else value
        if isinstance(plain, bool | tuple):
            return f"`{json.dumps(plain)}`"
        text = "" if plain is None else str(plain).removeprefix(f"{PROJECT_ROOT}/")
        return f"`{text}`" if text else ""

    assert sorted(rows(page("docs/settings.md"))) == sorted(
        (f"`{name.upper()}`", default(field.default), field.description)
        for name, field in (Settings.model_fields | TaskSettings.model_fields).items()
    )


@pytest.mark.parametrize("kind", ["Query", "Mutation", "Subscription"])
def test_the_operations_are_those_of_the_schema(kind):
    heading = {"Query": "Queries", "Mutation": "Mutations", "Subscription": "Subscriptions"}[kind]
    fields = set(SCHEMA.type_map[kind].fields)
    of_tasks = {field for field in fields if field.startswith("enqueue")} - {
        "enqueueWorkflow",
        "enqueueBatch",
    }

    listed = names(section("docs/operations.md", heading))

    assert {*listed} - {"enqueue<Task>"} == fields - of_tasks
    assert ("enqueue<Task>" in listed) is bool(of_tasks)


def test_the_options_are_those_of_the_schema():
    options = SCHEMA.type_map["TaskOptions"].fields

    assert names(section("docs/operations.md", "Options")) == list(options)


def test_the_variables_of_the_deployment_are_those_of_the_compose_file():
    variables = re.findall(r"(?<!\$)\$\{(\w+)", (PROJECT_ROOT / "docker-compose.yml").read_text())

    listed = names(section("docs/deployment.md", "Configuration"))

    assert {name for name in listed if name.isupper()} == {*variables}


def test_the_payload_errors_are_those_of_the_schema():
    members = [member.name for member in SCHEMA.get_implementations(SCHEMA.type_map["Error"])[0]]

    assert sorted(names(section("docs/errors.md", "Errors in payloads"))) == sorted(members)


def test_the_error_codes_are_those_of_the_api():
    assert names(section("docs/errors.md", "Top-level errors")) == list(ErrorCode)


@pytest.mark.slow
@pytest.mark.parametrize("title", PROGRAMS)
def test_the_options_of_a_program_are_those_that_its_help_lists(title):
    help_ = subprocess.run(
        [sys.executable, "-m", PROGRAMS[title], "--help"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    listed = re.findall(r"--[a-z-]+", " ".join(names(section("docs/command-line.md", title))))

    assert {*listed} == {*re.findall(r"--[a-z][a-z-]+", help_)} - {"--help"}


def test_the_limits_are_the_defaults_of_the_settings():
    factors = {"": 1, "MB": 1_000_000, "s": 1}
    pattern = r"(\d[\d,]*) ?(MB|s)?\b[^(`|]*\(`(\w+)`\)"
    stated = re.findall(pattern, page("docs/limits.md"))

    assert len(stated) == len(re.findall(r"\(`[A-Z]", page("docs/limits.md"))) > 15
    assert {
        name: int(number.replace(",", "")) * factors[unit] for number, unit, name in stated
    } == {name: Settings.model_fields[name.lower()].default for *_, name in stated}


@pytest.mark.slow
async def test_the_metrics_are_those_that_the_api_exports(client):
    async with httpx.AsyncClient(timeout=10) as http:
        exported = (await http.get(f"{client.url}/metrics")).text
    listed = [(first, type_) for first, type_, *_ in rows(page("docs/metrics.md"))]

    found = re.findall(r"^# TYPE (celeryql_\w+) (\w+)$", exported, re.MULTILINE)
    assert sorted((name.strip("`"), type_) for name, type_ in listed if "process_" not in name) == (
        sorted((name, type_) for name, type_ in found if not name.endswith("_created"))
    )


@pytest.mark.slow
async def test_a_log_line_of_the_api_has_the_printed_members(client, logs):
    ((printed, _),) = examples(section("docs/observability.md", "Logs"), "json")
    expected = json.loads(printed)

    await client.enqueue("add", x=1, y=2)

    lines = [line for line in (logs / "api.log").read_text().splitlines() if '"accepted"' in line]
    logged = json.loads(lines[-1])
    varying = ("timestamp", "request_id", "task_id")
    assert logged | {name: expected[name] for name in varying} == expected
