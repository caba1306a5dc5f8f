"""Workflows of every shape through the API, run by real workers."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow

ENQUEUE = """
mutation($canvas: CanvasInput!, $options: TaskOptions) {
  enqueueWorkflow(input: {name: "test", canvas: $canvas}, options: $options) {
    __typename
    ... on EnqueueWorkflowSuccess { deduplicated task { id state counts { total } } }
    ... on InvalidInput { problems { path message } }
    ... on WorkflowTypeMismatch { stepKey expected actual }
    ... on Error { message }
  }
}
"""
READ = """
query($id: ID!) { task(id: $id) {
  __typename state isFinal version cursor progress { current total fraction }
  failure { type message }
  ... on Workflow {
    name counts { total waiting queued running succeeded failed skipped }
    steps { key dependsOn task { state stepKey failure { type causedBy }
      ... on AddTask { sum: result } ... on MulTask { product: result }
      ... on SendEmailTask { input { to } } } }
    output { stepKey }
  }
} }
"""
WATCH = """
subscription($id: ID!, $after: EventCursor) { task(id: $id, after: $after) {
  cursor kind task { id state stepKey version isFinal }
  workflow { state version counts { total succeeded failed skipped } progress { current } } } }
"""


def step(task: str, key: str | None = None, /, **arguments: Any) -> dict:
    named = {"key": key} if key else {}
    return {"step": named | {"task": {task: arguments}}}


async def run(client: Any, canvas: dict) -> tuple[dict, list[dict]]:
    """Run a canvas to its end; return its record and its events."""
    answer = (await client.execute(ENQUEUE, canvas=canvas))["enqueueWorkflow"]
    events = await client.events(WATCH, id=answer["task"]["id"], after="0-0")
    return (await client.execute(READ, id=answer["task"]["id"]))["task"], events


async def test_a_group_runs_concurrently_and_has_several_outputs(client, workers):
    canvas = {"group": [step("add", "a", x=1, y=2), step("mul", "b", x=3, y=4)]}

    workflow, _ = await run(client, canvas)

    assert workflow["state"] == "SUCCEEDED"
    assert [s["dependsOn"] for s in workflow["steps"]] == [[], []]
    assert [task["stepKey"] for task in workflow["output"]] == ["a", "b"]
    assert workflow["progress"] == {"current": 2, "total": 2, "fraction": 1}


async def test_a_chord_passes_its_results_to_its_body_in_order(client, workers):
    header = [step("echo", message=f"{name}@example.org") for name in ("ann", "bob", "cy")]
    body = step("sendEmail", "mail", subject="Hello", text="...")

    workflow, _ = await run(client, {"chord": {"header": header, "body": body}})

    assert workflow["state"] == "SUCCEEDED"
    mail = workflow["steps"][3]
    assert mail["dependsOn"] == ["0.0", "0.1", "0.2"]
    assert mail["task"]["input"]["to"] == [
        "ann@example.org", "bob@example.org", "cy@example.org",
    ]  # fmt: skip


async def test_a_result_is_passed_to_all_members_of_a_group_and_along_their_chains(client, workers):
    members = [
        step("mul", "double", y=2),
        {"chain": [step("add", "more", x=1), step("mul", "triple", y=3)]},
        step("echo", "beside", message="takes nothing"),
    ]
    canvas = {"chain": [step("add", "first", x=1, y=2), {"group": members}]}

    workflow, _ = await run(client, canvas)

    tasks = {s["key"]: s["task"] for s in workflow["steps"]}
    assert (tasks["double"]["product"], tasks["triple"]["product"]) == (6, 12)
    assert [task["stepKey"] for task in workflow["output"]] == ["double", "triple", "beside"]


async def test_steps_that_depend_on_a_failure_are_skipped_and_the_others_run(client, workers):
    header = [
        step("add", "bad", x=1e308, y=1e308),  # its result is not finite
        {"chain": [step("add", "good", x=1, y=2), step("mul", "better", y=2)]},
    ]
    canvas = {"chain": [{"group": header}, step("echo", "body", message=""), step("echo", "end")]}

    workflow, events = await run(client, canvas)

    states = {s["key"]: s["task"]["state"] for s in workflow["steps"]}
    assert states == {
        "bad": "FAILED", "good": "SUCCEEDED", "better": "SUCCEEDED",
        "body": "SKIPPED", "end": "SKIPPED",
    }  # fmt: skip
    skipped = workflow["steps"][3]["task"]["failure"]
    assert (skipped["type"], skipped["causedBy"]) == ("StepSkipped", "bad")
    assert (workflow["state"], workflow["failure"]["type"]) == ("FAILED", "InvalidResult")
    assert (events[-1]["task"]["stepKey"], events[-1]["task"]["state"]) == (None, "FAILED")


async def test_the_stream_of_a_workflow_is_ordered_and_consistent(client, workers):
    canvas = {"chain": [step("echo", message="a"), {"group": [step("echo", message="b")] * 5}]}

    _, events = await run(client, canvas)

    cursors = [tuple(map(int, event["cursor"].split("-"))) for event in events]
    assert cursors == sorted(set(cursors))
    versions: dict[str, int] = {}
    for event in events:
        task = event["task"]
        assert task["version"] > versions.get(task["id"], 0)
        versions[task["id"]] = task["version"]
    summaries = [event["workflow"] for event in events if event["workflow"]]
    assert [w["version"] for w in summaries] == sorted({w["version"] for w in summaries})
    assert [w["counts"]["succeeded"] for w in summaries] == sorted(
        w["counts"]["succeeded"] for w in summaries
    )
    assert summaries[-1]["counts"]["succeeded"] == 6


@pytest.mark.parametrize(
    ("canvas", "path", "message"),
    [
        ({"chain": []}, ["input", "canvas"], "A workflow has 1 to 1000 steps, not 0"),
        (
            {"chain": [{"group": []}, step("echo", message="a")]},
            ["input", "canvas", "chain", "0", "group"],
            "A chain or group must have at least one member",
        ),
        (
            {"group": [step("echo", message="a")] * 1_001},
            ["input", "canvas"],
            "A workflow has 1 to 1000 steps, not 1001",
        ),
        (
            {"group": [step("add", "sum", x=1)]},
            ["input", "canvas", "group", "0", "step", "task", "add", "y"],
            "Step 'sum': argument missing (nothing is piped into a first step)",
        ),
        (
            {"chain": [step("echo", message="a"), step("add", "sum")]},
            ["input", "canvas", "chain", "1", "step", "task", "add", "x"],
            "Step 'sum': argument missing (only one can be piped)",
        ),
        (
            step("echo", "long", message="x" * 9_000),
            ["input", "canvas", "step", "task", "echo", "message"],
            "Step 'long': String should have at most 8192 characters",
        ),
        (
            {"group": [step("echo", "a", message="1"), step("echo", "a", message="2")]},
            ["input", "canvas", "group", "1", "step", "key"],
            "Two steps have the key 'a'",
        ),
        (
            {"chain": [step("echo", "1", message="a"), step("echo")]},
            ["input", "canvas", "chain", "0", "step", "key"],
            "Two steps have the key '1': a step without a key is named by its position",
        ),
        (
            {"group": [step("echo", "x" * 101, message="a")]},
            ["input", "canvas", "group", "0", "step", "key"],
            "String should have at most 100 characters",
        ),
        (
            {"chain": [step("echo", message="a"), {"step": {"task": {}}}]},
            ["input", "canvas", "chain", "1", "step", "task"],
            "Exactly one field must be given, and it must not be null",
        ),
        (
            {"step": {"task": {"echo": {"message": "a"}}, "options": {"maxAttempts": 0}}},
            ["input", "canvas", "step", "options", "maxAttempts"],
            "Input should be greater than or equal to 1",
        ),
    ],
)
async def test_an_invalid_canvas_is_refused_with_each_problem(client, canvas, path, message):
    answer = (await client.execute(ENQUEUE, canvas=canvas))["enqueueWorkflow"]

    assert answer["__typename"] == "InvalidInput"
    assert answer["problems"][0] == {"path": path, "message": message}


async def test_the_depth_of_a_canvas_is_bounded(client, workers):
    def nested(depth: int) -> dict:
        return {"chain": [nested(depth - 1)]} if depth else step("echo", message="deep")

    allowed, _ = await run(client, nested(8))
    refused = (await client.execute(ENQUEUE, canvas=nested(9)))["enqueueWorkflow"]

    assert allowed["state"] == "SUCCEEDED"
    assert refused["problems"][0]["message"] == "Nested deeper than 8 levels"


async def test_a_chord_body_must_take_the_list_of_its_headers_results(client):
    header = [step("add", x=1, y=2), step("echo", message="a")]
    canvas = {"chord": {"header": header, "body": step("sendEmail", "mail", subject="", text="")}}

    answer = (await client.execute(ENQUEUE, canvas=canvas))["enqueueWorkflow"]

    assert answer == {
        "__typename": "WorkflowTypeMismatch",
        "stepKey": "mail",
        "expected": "list[str] as 'to'",
        "actual": "list[float | str] from 'add', 'echo'",
        "message": "Step 'mail' takes list[str] as 'to', but receives list[float | str] from "
        "'add', 'echo'",
    }


@pytest.mark.parametrize("shape", ["chain", "group", "stages"])
async def test_a_workflow_of_a_thousand_steps_ends(client, workers, shape):
    steps = [step("echo", message=str(i)) for i in range(1_000)]
    stages = {"chain": [{"group": steps[i : i + 100]} for i in range(0, 1_000, 100)]}
    canvas = stages if shape == "stages" else {shape: steps}

    workflow, _ = await run(client, canvas)

    assert (workflow["state"], workflow["counts"]["succeeded"]) == ("SUCCEEDED", 1_000)


async def test_the_same_key_and_canvas_create_one_workflow(client):
    canvas, options = {"group": [step("echo", message="a")]}, {"idempotencyKey": "one-canvas"}
    other = {"chain": [step("echo", message="a")] * 2}

    answers = [
        (await client.execute(ENQUEUE, canvas=asked, options=options))["enqueueWorkflow"]
        for asked in (canvas, canvas, other)
    ]

    assert [answer.get("deduplicated") for answer in answers] == [False, True, None]
    assert answers[0]["task"]["id"] == answers[1]["task"]["id"]
    assert answers[2]["__typename"] == "IdempotencyConflict"
