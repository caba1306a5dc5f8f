"""JSON documents of any size: every part of a list equals that part of the whole."""

from __future__ import annotations

import json
import random

import pytest

from celeryql.errors import DocumentTooLarge
from celeryql.state.json_documents import JsonDocument, JsonDocumentReader

KEY = "document"


@pytest.fixture
async def documents(engine) -> JsonDocumentReader:
    return engine.documents


@pytest.fixture
def store(empty_redis):
    """Store a value as Celery does, and return its document."""

    def write(result) -> JsonDocument:
        text = json.dumps({"status": "SUCCESS", "result": result, "traceback": None})
        empty_redis.set(KEY, text)
        return JsonDocument(KEY, len(text))

    return write


def uncharged(_: int) -> None:
    """Allow any number of bytes."""


def mixed(count: int) -> list:
    """Return items of all kinds, some with texts that look like JSON."""
    chance = random.Random(7)
    kinds = (
        lambda i: i * chance.randint(1, 10**12),
        lambda i: {"a": i, "b": 'x", "y], {' * chance.randint(0, 9), "c": [[], {}, [i]]},
        lambda _: 'ü"\\ 😀, ]' * chance.randint(0, 20),
        lambda _: chance.choice([None, True, False, -0.5, 1e30, [], {}]),
    )
    return [chance.choice(kinds)(i) for i in range(count)]


async def test_only_small_documents_are_read_at_once(documents, empty_redis):
    empty_redis.mset({"small": '{"x": 1}', "large": json.dumps("x" * 10_000)})

    small, none, large = await documents.find(["small", "none", "large"], 1_000_000)

    assert (small.text, none) == ('{"x": 1}', None)
    assert (large.text, large.size_bytes) == (None, 10_002)
    assert await documents.value(small, 10) == {"x": 1}
    assert await documents.value(large, 10) == "x" * 10_000


async def test_small_documents_are_read_up_to_the_limit(documents, empty_redis):
    empty_redis.mset({"a": '{"x": 1}', "b": '{"x": 2}', "c": '{"x": 3}'})

    found = await documents.find(["a", "b", "c"], 20)

    assert [document.text for document in found] == ['{"x": 1}', '{"x": 2}', None]


async def test_every_part_of_a_list_equals_that_part_of_the_whole(documents, store):
    whole = mixed(30_000)
    document = store(whole)
    starts = [0, 1, 29_999, 15_000, 29_000, 3, 12_345, 29_999, 14_999, *range(0, 30_000, 4_000)]

    for after in starts:
        for count in (1, 7, 4_000):
            part = await documents.items(document, "result", after, count, uncharged)
            assert part == whole[after : after + count]


@pytest.mark.parametrize("whole", [[], [1], [[]], [""], [12, 345], list(range(70_000))])
async def test_reading_stops_at_the_end_of_the_list(documents, store, whole):
    document = store(whole)

    assert await documents.items(document, "result", 0, 100_000, uncharged) == whole
    assert await documents.items(document, "result", len(whole), 9, uncharged) == []
    assert await documents.items(document, "result", len(whole) + 5, 9, uncharged) == []
    assert await documents.items(document, "result", 0, 100_000, uncharged) == whole


async def test_an_item_larger_than_a_block_is_read_whole(documents, store):
    whole = ["a", "b" * 900_000, {"c": ["d" * 400_000] * 3}, "e"]
    document = store(whole)

    assert await documents.items(document, "result", 0, 9, uncharged) == whole
    assert await documents.items(document, "result", 2, 1, uncharged) == whole[2:3]


@pytest.mark.parametrize("result", [None, 5, "[1, 2]", {"result": [1, 2]}])
async def test_a_value_that_is_not_a_list_has_no_items(documents, store, result):
    assert await documents.items(store(result), "result", 0, 9, uncharged) is None


async def test_a_list_is_found_after_other_members(documents, empty_redis):
    text = '{"a":[{"result":[9]}], "b" : "\\"result\\": [8]",\n "result" : [ 1,2 , 3 ] ,"c":0}'
    empty_redis.set(KEY, text)

    found = await documents.items(JsonDocument(KEY, len(text)), "result", 1, 9, uncharged)

    assert found == [2, 3]


@pytest.mark.parametrize("text", ['{"result": [1, 2', '{"result": [1, x]}', "[1]", "", "{}", "x"])
async def test_a_document_that_is_not_json_is_refused_or_empty(documents, empty_redis, text):
    empty_redis.set(KEY, text)
    document = JsonDocument(KEY, len(text))
    if not text:
        assert await documents.items(document, "result", 0, 9, uncharged) == []
        return

    with pytest.raises(ValueError):  # noqa: PT011  # from json, or from str.index
        await documents.items(document, "result", 0, 9, uncharged)


async def test_only_the_requested_items_are_charged(documents, store):
    charged: list[int] = []
    document = store(["x" * 98] * 50_000)  # 102 bytes each

    await documents.items(document, "result", 49_000, 1_000, charged.append)

    assert 100_000 < sum(charged) < 110_000


async def test_a_page_begins_where_an_earlier_one_ended(documents, store, empty_redis):
    document = store([{"a": i} for i in range(200_000)])
    await documents.items(document, "result", 199_000, 500, uncharged)
    before = empty_redis.info("stats")["total_net_output_bytes"]

    part = await documents.items(document, "result", 199_500, 100, uncharged)
    earlier = await documents.items(document, "result", 100_000, 100, uncharged)

    read_bytes = empty_redis.info("stats")["total_net_output_bytes"] - before
    assert (part[0], earlier[0]) == ({"a": 199_500}, {"a": 100_000})
    assert read_bytes < 900_000, "the document has 2.7 MB"


@pytest.mark.parametrize(
    "value", [[{}] * 101, {"a": [{"b": {}}] * 51}, list(range(1_002)), ["x"] * 1_002, [0.5] * 1_002]
)
async def test_more_objects_than_the_limit_are_refused(documents, store, value):
    with pytest.raises(DocumentTooLarge):
        await documents.value(store(value), 100)


@pytest.mark.parametrize("value", [[{}] * 98, list(range(900)), ["x"] * 900, 'x", "y' * 9_000])
async def test_objects_up_to_the_limit_are_read(documents, store, value):
    assert (await documents.value(store(value), 100))["result"] == value
