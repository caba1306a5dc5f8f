"""Stored results: read whole or in parts, or refused if they are too large."""

from __future__ import annotations

import pytest

from tasks.text import count_words, split_text

ENQUEUE = """mutation { enqueueCountWords(input: {texts: ["a"], part: 0}) {
  ... on EnqueueCountWordsSuccess { task { id } } } }"""
SPLIT = """mutation { enqueueSplitText(input: {text: "a", parts: 1}) {
  ... on EnqueueSplitTextSuccess { task { id } } } }"""
READ = "query($id: ID!) { task(id: $id) { id ... on CountWordsTask { result %s } } }"
PART = READ.replace("query($id: ID!)", "query($id: ID!, $first: Int, $after: Int! = 0)") % (
    "(first: $first, after: $after) { word count }"
)
TOO_MANY = (
    "The result has too many items for this answer (24,998 fit): "
    "read it in parts, with `first` and `after`"
)


def words(count: int) -> list[dict]:
    return [{"word": f"word{i}", "count": i} for i in range(count)]


@pytest.fixture
def counted(local_client, report):
    """Return a function that lets a task succeed with many words."""

    async def succeed(count: int) -> str:
        task_id = (await local_client.execute(ENQUEUE))["enqueueCountWords"]["task"]["id"]
        report(count_words, task_id, "STARTED")
        report(count_words, task_id, "SUCCESS", words(count))
        return task_id

    return succeed


@pytest.mark.parametrize("count", [30, 9_000])  # a small result and a large one
async def test_a_result_is_read_whole_or_in_parts(local_client, counted, count):
    task_id, whole = await counted(count), words(count)

    read = (await local_client.execute(READ % "{ word count }", id=task_id))["task"]["result"]
    parts = [
        (await local_client.execute(PART, id=task_id, first=4_000, after=after))["task"]["result"]
        for after in (0, 4_000, 8_000, 12_000)
    ]

    assert read == whole
    assert [word for part in parts for word in part] == whole
    assert parts[3] == []


async def test_a_part_without_first_is_the_rest_of_the_list(local_client, counted):
    task_id = await counted(40_000)

    part = (await local_client.execute(PART, id=task_id, after=39_990))["task"]["result"]

    assert part == words(40_000)[39_990:]


async def test_the_error_for_a_result_that_is_too_large_says_what_works(local_client, counted):
    task_id = await counted(40_000)

    result = await local_client.run(READ % "{ word }", variable_values={"id": task_id})
    part = (await local_client.execute(PART, id=task_id, first=3, after=30_000))["task"]["result"]

    assert result.data["task"] == {"id": task_id, "result": None}
    assert [error.message for error in result.errors] == [TOO_MANY]
    assert part == words(30_003)[30_000:]


async def test_aliases_of_large_results_share_one_limit(local_client, counted):
    task_id = await counted(9_000)
    aliases = " ".join(f"r{i}: result {{ word }}" for i in range(150))
    document = f"query($id: ID!) {{ task(id: $id) {{ ... on CountWordsTask {{ {aliases} }} }} }}"

    data, errors = await local_client.answer(document, id=task_id)

    whole = [value for value in data["task"].values() if value is not None]
    assert [len(value) for value in whole] == [9_000] * 2
    assert set(errors) == {"BAD_USER_INPUT"}


async def test_no_more_bytes_are_read_than_an_answer_may_hold(local_client, engine, report):
    engine.settings = engine.settings.model_copy(update={"max_answer_items": 50})
    task_id = (await local_client.execute(SPLIT))["enqueueSplitText"]["task"]["id"]
    report(split_text, task_id, "STARTED")
    report(split_text, task_id, "SUCCESS", ["x" * 20_000] * 3)

    read = "query($id: ID!) { task(id: $id) { ... on SplitTextTask { result%s } } }"
    result = await local_client.run(read % "", variable_values={"id": task_id})
    data = await local_client.execute(read % "(first: 1, after: 2)", id=task_id)

    assert result.data == {"task": {"result": None}}
    assert result.errors[0].message == (
        "More than 50,000 bytes of inputs and results would be read: "
        "request fewer inputs and results"
    )
    assert data["task"]["result"] == ["x" * 20_000]


@pytest.mark.parametrize("page", [{"first": 0}, {"first": 10_001}, {"after": -1}])
async def test_the_arguments_of_a_part_have_limits(local_client, counted, page):
    task_id = await counted(3)

    result = await local_client.run(PART, variable_values={"id": task_id} | page)

    assert result.data["task"] == {"id": task_id, "result": None}
    message = "`first` must be from 1 to 10,000, and `after` must not be negative"
    assert [error.message for error in result.errors] == [message]


@pytest.mark.parametrize("count", [3, 2_000])
async def test_the_error_for_an_item_of_another_type_names_the_item(
    local_client, counted, empty_redis, count
):
    task_id = await counted(count)
    key = f"celery-task-meta-{task_id}"
    stored = empty_redis.get(key).replace(f'"count": {count - 1}', '"count": "many"')
    empty_redis.set(key, stored)

    result = await local_client.run(PART, variable_values={"id": task_id, "first": 1, "after": 0})
    broken = await local_client.run(PART, variable_values={"id": task_id, "after": count - 2})

    if count == 2_000:  # a small result is checked as a whole
        assert result.data["task"]["result"] == words(1)
    (error,) = broken.errors
    assert error.extensions["code"] == "STORED_BY_ANOTHER_RELEASE"
    assert f"(result.{count - 1}.count: " in error.message


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_result_that_is_not_json_is_null_with_an_error(
    local_client, counted, empty_redis, size
):
    task_id = await counted(3)
    empty_redis.set(f"celery-task-meta-{task_id}", "x" * size)

    data, errors = await local_client.answer(READ % "{ word }", id=task_id)

    assert data == {"task": {"id": task_id, "result": None}}
    assert errors == ["INTERNAL"]
