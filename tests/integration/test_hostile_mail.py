"""Hostile values for each argument of `sendEmail` are refused by path, never as INTERNAL."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.slow

SEND = """
mutation($input: SendEmailInput!) { enqueueSendEmail(input: $input) {
  __typename ... on InvalidInput { problems { path message } } } }
"""
BATCH = """
mutation($tasks: [BatchItemInput!]!) { enqueueBatch(tasks: $tasks) {
  ... on EnqueueBatchSuccess { items { error {
    __typename ... on InvalidInput { problems { path message } } } } } } }
"""
MAIL = {"to": ["ann@example.org"], "subject": "Hello", "text": "How are you?"}
ADDRESSES = [
    "", " ", "ann", "@", "a@", "@b", "a@[", "a@[1", "a@[]", "a@[[]]", "a@b]", "a@b@c", "a b@c",
    "a@b c", "a@b, c@d", "a@b;", "a@b (c)", "<>", "<a@b", "a@b>", "Ann <>", "Ann <ann>",
    "Ann <a@b> c", "Ann <a@b>, Bob <b@b>", "a@b <c@d>", '"', '"@b', '"a@b', '""@b', '"a"b"@c',
    '"' * 254, '"a"@' + '"' * 240, "(" * 254, "a@" + "[" * 250, "." * 254, "a." * 127, "\\" * 254,
    "<" * 300, "a" * 255, "a" * 10_000, "a@b\n", "a@b\r\nBcc: eve@example.org", "a@b\u0000",
    "\u0000@b", "a@b\u2028", "ä@b", "a@ä", "a@b\ud800", "=?utf-8?q?a?=@b", "=?utf-8?q?a?= <a@b>",
    "all: a@b;", "undisclosed-recipients:;", "@a,@b:c@d", "Ann\r\nBcc: eve@b\r\nX: <a@b>",
    '"Ann\n" <a@b>', "\ud800 <a@b>", "x" * 101 + " <a@b>", "a@b.", ".a@b", "a@.b", "a..a@b",
]  # fmt: skip
LINES = [
    "a\nb", "a\rb", "a\r\nBcc: eve@example.org", "\u0000", "a\tb", "\x7f", "\x0b", "\u0085",
    "\u2028", "\ud800", "=?utf-8?b?YQ0KQmNjOiB4QHkueg==?=", "x" * 501,
]  # fmt: skip
TEXTS = ["\ud800"]
HOSTILE = [
    *(({name: [value]}, [name, "0"]) for name in ("to", "cc", "bcc") for value in ADDRESSES),
    *(({"to": ["a@b", value]}, ["to", "1"]) for value in ADDRESSES),
    *(({"replyTo": value}, ["replyTo"]) for value in ADDRESSES),
    *(({"subject": value}, ["subject"]) for value in LINES),
    *(({name: value}, [name]) for name in ("text", "html") for value in TEXTS),
    ({"to": []}, ["to"]),
    ({"to": ["a@b"] * 51}, ["to"]),
    ({"cc": ["a@b"] * 51}, ["cc"]),
]


def body_of(change: dict[str, Any]) -> str:
    """Encode a request in ASCII, so that it can contain lone surrogates."""
    return json.dumps({"query": SEND, "variables": {"input": MAIL | change}})


def test_a_hostile_value_is_refused_by_its_path(client):
    headers = {"content-type": "application/json"}
    with httpx.Client(base_url=client.url, headers=headers, timeout=20) as http:
        answers = [http.post("/graphql", content=body_of(change)).json() for change, _ in HOSTILE]

    for answer, (change, path) in zip(answers, HOSTILE, strict=True):
        assert "errors" not in answer, (change, answer["errors"])
        payload = answer["data"]["enqueueSendEmail"]
        assert payload["__typename"] == "InvalidInput", change
        assert [p["path"] for p in payload["problems"]] == [["input", *path]], change


async def test_a_hostile_value_refuses_only_its_own_item_of_a_batch(client):
    short = [(change, path) for change, path in HOSTILE if len(str(change)) < 100_000]
    tasks = [{"task": {"sendEmail": MAIL | change}} for change, _ in short]

    items = (await client.execute(BATCH, tasks=tasks))["enqueueBatch"]["items"]

    for i, (item, (change, path)) in enumerate(zip(items, short, strict=True)):
        expected = ["tasks", str(i), "task", "sendEmail", *path]
        assert item["error"]["__typename"] == "InvalidInput", change
        assert [p["path"] for p in item["error"]["problems"]] == [expected], change


@pytest.mark.parametrize(
    "change",
    [
        {"to": "ann@example.org"},
        {
            "to": [
                "Ann <ann@example.org>",
                '"Lee, \\"Ann\\"" <ann@example.org>',
                "<ann@example.org>",
            ]
        },
        {"to": ["Jörg \u674e <joerg@example.org>"], "replyTo": "'Ann' B. Lee <ann@[127.0.0.1]>"},
        {"to": ["ann@example.org"] * 50, "cc": [], "bcc": None},
        {"subject": "", "text": ""},
        {"subject": " \u202e\u200b\U0001f600 ", "text": "\u0000\r.\r\nFrom me", "html": "\x1b"},
        {"subject": "x" * 500, "text": "x" * 500_000},
    ],
    ids=["one", "names", "no ASCII", "many", "nothing", "odd", "long"],
)
async def test_an_unusual_but_valid_mail_is_sent(client, workers, change):
    accepted = await client.enqueue("sendEmail", **MAIL | change)

    events = await client.events(
        "subscription($id: ID!) { task(id: $id) { task { state failure { message } } } }",
        id=accepted,
    )
    assert events[-1]["task"] == {"state": "SUCCEEDED", "failure": None}
