"""Which tasks are not retried."""

from __future__ import annotations


async def test_a_workflow_of_another_release_is_not_retried(api, empty_redis):
    canvas = "{chain: [{step: {task: {add: {x: 4, y: 5}}}}, {step: {task: {mul: {y: 7}}}}]}"
    await api.execute(
        f"mutation {{ enqueueWorkflow(input: {{canvas: {canvas}}}) {{ __typename }} }}"
    )
    (id_,), _ = await api.page(filter={"definitions": ["workflow"]})
    await api.execute(f'mutation {{ cancelTask(id: "{id_}") {{ __typename }} }}')
    empty_redis.delete(f"celeryql:workflow:{id_}")
    empty_redis.hset(f"celeryql:workflow:{id_}", mapping={"graph": "[]", "total": 2})

    data = await api.execute(
        f'mutation {{ retryTask(id: "{id_}") {{ __typename ... on Error {{ message }} }} }}'
    )

    assert data["retryTask"]["__typename"] == "InvalidInput"
    assert "Another release stored the steps" in data["retryTask"]["message"]
