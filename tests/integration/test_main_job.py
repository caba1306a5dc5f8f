"""The main job over real processes: mutation, queue, worker, event, subscription."""

from __future__ import annotations

import asyncio
from email.header import decode_header, make_header

import pytest

pytestmark = pytest.mark.slow

WATCH = """
subscription Watch($id: ID!, $after: EventCursor) {
  task(id: $id, after: $after) {
    cursor kind
    task { __typename id state celeryState version isFinal worker progress { current total } }
    workflow { state counts { total waiting queued running succeeded } progress { fraction } }
  }
}
"""
STATES = ["QUEUED", "RUNNING", "SUCCEEDED"]


async def enqueue(client, mutation: str, arguments: str) -> str:
    data = await client.execute(
        f"mutation {{ {mutation}(input: {arguments}) {{ __typename"
        f" ... on {mutation[0].upper()}{mutation[1:]}Success {{ task {{ id state }} }}"
        " ... on InvalidInput { problems { path message } } ... on Error { message } } }"
    )
    return data[mutation]["task"]["id"]


async def finished(client, task_id: str) -> dict:
    """Watch a task to its end, check its stream, and return its record."""
    events = await client.events(WATCH, id=task_id)
    assert events[0]["kind"] == "SNAPSHOT"
    assert [e["kind"] for e in events[1:] if e["kind"] not in ("STATE", "PROGRESS")] == []
    versions = [event["task"]["version"] for event in events]
    assert versions == sorted(set(versions)), events
    states = [event["task"]["state"] for event in events]
    assert [STATES.index(state) for state in states] == sorted(map(STATES.index, states))
    assert events[-1]["task"]["isFinal"]
    fields = "id state worker queue { name } attempt startedAt finishedAt"
    data = await client.execute(
        f"query($id: ID!) {{ task(id: $id) {{ {fields}"
        " ... on EchoTask { text: result input { message } } ... on AddTask { sum: result }"
        " ... on MulTask { product: result } ... on WaitTask { waited: result }"
        " ... on DetectSpamTask { verdict: result { label spamProbability reasons { term } } }"
        " ... on SendEmailTask { receipt: result { messageId refusedRecipients } } } }",
        id=task_id,
    )
    return data["task"]


@pytest.mark.parametrize(
    ("mutation", "arguments", "queue", "field", "result"),
    [
        ("enqueueEcho", '{message: "hello"}', "celery", "text", "hello"),
        ("enqueueAdd", "{x: 4, y: 5}", "celery", "sum", 9.0),
        ("enqueueMul", "{x: 4, y: 5}", "celery", "product", 20.0),
        ("enqueueWait", "{seconds: 0.3}", "celery", "waited", 0.3),
    ],
)
async def test_a_task_is_enqueued_watched_and_read(
    client, workers, mutation, arguments, queue, field, result
):
    task = await finished(client, await enqueue(client, mutation, arguments))

    assert task["state"] == "SUCCEEDED"
    assert task[field] == result
    assert task["queue"]["name"] == queue
    assert task["worker"].startswith(f"{queue}@")
    assert task["attempt"] == 1


async def test_spam_is_detected_on_the_ml_queue(client, workers):
    message = "URGENT! You have won a 1 week FREE membership in our 100000 prize jackpot! Txt CLAIM"

    task = await finished(
        client, await enqueue(client, "enqueueDetectSpam", f'{{message: "{message}"}}')
    )

    assert task["worker"].startswith("ml_service@")
    assert task["verdict"]["label"] == "SPAM"
    assert task["verdict"]["spamProbability"] > 0.9
    assert task["verdict"]["reasons"]


async def test_ham_is_not_classified_as_spam(client, workers):
    task_id = await enqueue(client, "enqueueDetectSpam", '{message: "See you at lunch, mum"}')

    assert (await finished(client, task_id))["verdict"]["label"] == "HAM"


async def test_an_email_reaches_the_mailbox(client, workers, mails):
    arguments = (
        '{to: ["ann@example.org", "bob@example.org"], subject: "Grüße 1", text: "Hello",'
        ' html: "<b>Hello</b>", cc: "cy@example.org", bcc: "di@example.org",'
        ' replyTo: "eve@example.org"}'
    )

    task = await finished(client, await enqueue(client, "enqueueSendEmail", arguments))

    assert task["worker"].startswith("email_service@")
    assert task["receipt"]["refusedRecipients"] == []
    (mail,) = mails(task["receipt"]["messageId"])
    assert str(make_header(decode_header(mail["subject"]))) == "Grüße 1"
    assert mail["to"] == "ann@example.org, bob@example.org"
    assert mail["cc"] == "cy@example.org"
    assert mail["bcc"] is None
    assert "di@example.org" in mail["x-rcptto"]
    assert mail["reply-to"] == "eve@example.org"
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative", "text/plain", "text/html",
    ]  # fmt: skip


async def test_a_chain_passes_each_result_on_and_returns_105(client, workers):
    canvas = (
        "{chain: [{step: {task: {add: {x: 4, y: 5}}}}, {step: {task: {add: {x: 6}}}},"
        ' {step: {key: "last", task: {mul: {y: 7}}}}]}'
    )
    workflow_id = await enqueue(client, "enqueueWorkflow", f'{{name: "sum", canvas: {canvas}}}')

    # From its first event, because a step may end before the subscription starts.
    events = await client.events(WATCH, id=workflow_id, after="0-0")
    data = await client.execute(
        "query($id: ID!) { task(id: $id) { state ... on Workflow { name counts { total succeeded }"
        " steps { key dependsOn task { state ... on AddTask { input { x y } sum: result } } }"
        " output { stepKey ... on MulTask { product: result } } } } }",
        id=workflow_id,
    )

    assert events[-1]["task"] | {"version": 0} == {
        "__typename": "Workflow", "id": workflow_id, "state": "SUCCEEDED", "isFinal": True,
        "celeryState": "SUCCESS", "version": 0, "worker": None,
        "progress": {"current": 3.0, "total": 3.0},
    }  # fmt: skip
    assert len({event["task"]["id"] for event in events}) == 4
    assert [e["workflow"]["state"] for e in events if e["workflow"]][-1] == "SUCCEEDED"
    workflow = data["task"]
    assert workflow["name"] == "sum"
    assert workflow["counts"] == {"total": 3, "succeeded": 3}
    assert workflow["output"] == [{"stepKey": "last", "product": 105.0}]
    assert [step["dependsOn"] for step in workflow["steps"]] == [[], ["0"], ["1"]]
    assert workflow["steps"][1]["task"]["input"] == {"x": 6.0, "y": 9.0}


async def test_a_chain_with_mismatched_types_is_refused_before_anything_is_sent(client):
    before = await client.execute("{ tasks { nodes { id } } }")

    data = await client.execute(
        "mutation { enqueueWorkflow(input: {canvas: {chain: [{step: {task: {add: {x: 4, y: 5}}}},"
        ' {step: {key: "mail", task: {sendEmail: {subject: "Sum", text: "?"}}}}]}}) {'
        " ... on WorkflowTypeMismatch { stepKey expected actual } } }"
    )

    assert data["enqueueWorkflow"]["stepKey"] == "mail"
    assert "float" in data["enqueueWorkflow"]["actual"]
    assert await client.execute("{ tasks { nodes { id } } }") == before


async def test_a_stream_resumes_after_a_cursor_without_a_missing_event(client, workers):
    task_id = await enqueue(client, "enqueueWait", "{seconds: 0.5}")
    events = await client.events(WATCH, id=task_id)

    for i, event in enumerate(events):
        resumed = await client.events(WATCH, id=task_id, after=event["cursor"])
        assert resumed == events[i + 1 :]


async def test_ten_subscribers_of_one_task_get_the_same_events(client, workers):
    task_id = await enqueue(client, "enqueueWait", "{seconds: 1}")

    streams = await asyncio.gather(*[client.events(WATCH, id=task_id) for _ in range(10)])

    received = [
        {e["cursor"]: e["task"] for e in stream if e["kind"] != "SNAPSHOT"} for stream in streams
    ]
    longest = max(received, key=len)
    assert [cursor for part in received for cursor in part if longest[cursor] != part[cursor]] == []
    assert {stream[-1]["task"]["state"] for stream in streams} == {"SUCCEEDED"}
