"""The workflows that the example tasks in `tasks/` are made for, on real workers."""

from __future__ import annotations

from email.header import decode_header, make_header

import pytest

pytestmark = pytest.mark.slow

ENQUEUE = """
mutation Run($canvas: CanvasInput!) { enqueueWorkflow(input: {canvas: $canvas}) {
  __typename
  ... on EnqueueWorkflowSuccess { task { id } }
  ... on Error { message }
  ... on InvalidInput { problems { path message } }
} }
"""
WATCH = "subscription Watch($id: ID!) { task(id: $id) { kind } }"
READ = """
query Read($id: ID!) { task(id: $id) { state ... on Workflow {
  steps { task { state queue { name } failure { type message } } }
  output { state
    ... on MergeCountsTask { counts: result { word count } }
    ... on CountWordsTask { counted: result { word count } }
    ... on DescribeVerdictTask { text: result input { verdict { label reasons { term } } } }
    ... on SendEmailTask { receipt: result { messageId } }
  }
} } }
"""
VERDICT = {
    "label": "SPAM", "spamProbability": 0.9, "threshold": 0.5, "modelVersion": "by hand",
    "reasons": [{"term": "prize", "weight": 2}], "truncated": False,
}  # fmt: skip


def step(task, **arguments):
    return {"step": {"task": {task: arguments}}}


async def run(client, *chain):
    """Run a chain to its end, and return its record."""
    answer = await client.execute(ENQUEUE, canvas={"chain": chain})
    assert answer["enqueueWorkflow"]["__typename"] == "EnqueueWorkflowSuccess", answer
    task_id = answer["enqueueWorkflow"]["task"]["id"]
    assert await client.events(WATCH, id=task_id)
    return (await client.execute(READ, id=task_id))["task"]


async def test_the_words_of_a_text_are_counted_in_parts_and_merged(client, workers):
    text = "To be, or not to be: that is the question. To sleep, to dream."
    parts = [step("countWords", part=part) for part in range(4)]

    workflow = await run(
        client, step("splitText", text=text, parts=4), {"group": parts}, step("mergeCounts", most=3)
    )

    assert workflow["state"] == "SUCCEEDED", workflow
    assert workflow["output"][0]["counts"] == [
        {"word": "to", "count": 4}, {"word": "be", "count": 2}, {"word": "dream", "count": 1},
    ]  # fmt: skip
    assert {s["task"]["queue"]["name"] for s in workflow["steps"]} == {"celery"}


async def test_a_missing_part_fails_the_workflow_with_a_clear_message(client, workers):
    workflow = await run(client, step("splitText", text="a b", parts=2), step("countWords", part=2))

    assert workflow["state"] == "FAILED"
    assert workflow["steps"][1]["task"]["failure"] == {
        "type": "ValueError", "message": "there is no part 2: there are 2, counted from 0",
    }  # fmt: skip


async def test_the_verdict_on_a_message_is_mailed(client, workers, mails):
    workflow = await run(
        client,
        step("detectSpam", message="URGENT! You have won a FREE prize! Txt CLAIM to 87121"),
        step("describeVerdict"),
        step("sendEmail", to=["moderators@example.org"], subject="A verdict"),
    )

    assert workflow["state"] == "SUCCEEDED", workflow
    assert [s["task"]["queue"]["name"] for s in workflow["steps"]] == [
        "ml_service", "celery", "email_service",
    ]  # fmt: skip
    (mail,) = mails(workflow["output"][0]["receipt"]["messageId"])
    assert str(make_header(decode_header(mail["subject"]))) == "A verdict"
    assert mail.get_payload(decode=True).decode().startswith("Verdict: SPAM\nProbability of spam: ")


async def test_a_model_is_accepted_as_an_argument_and_returned(client, workers):
    workflow = await run(client, step("describeVerdict", verdict=VERDICT))

    (output,) = workflow["output"]
    assert output["input"] == {"verdict": {"label": "SPAM", "reasons": [{"term": "prize"}]}}
    assert "  +2.00  'prize'" in output["text"].splitlines()


async def test_a_list_of_lists_of_models_is_accepted_as_an_argument(client, workers):
    task_id = await client.enqueue(
        "mergeCounts", counts=[[{"word": "a", "count": 1}], [], [{"word": "a", "count": 2}]]
    )
    await client.events(WATCH, id=task_id)

    data = await client.execute(
        "query($id: ID!) { task(id: $id) { ... on MergeCountsTask {"
        " input { counts { word count } most } result { word count } } } }",
        id=task_id,
    )

    assert data["task"] == {
        "input": {"counts": [[{"word": "a", "count": 1}], [], [{"word": "a", "count": 2}]],
                  "most": 20},
        "result": [{"word": "a", "count": 3}],
    }  # fmt: skip
