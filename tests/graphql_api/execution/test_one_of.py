"""OneOf inputs: each error names the place of the input, in variables and in documents."""

from __future__ import annotations

import pytest

ADD = {"add": {"x": 1, "y": 2}}
STEP = {"step": {"task": ADD}}
WORKFLOW = """
mutation($canvas: CanvasInput!, $options: TaskOptions) {
  enqueueWorkflow(input: {canvas: $canvas}, options: $options) {
    __typename ... on InvalidInput { problems { path } } } }
"""


@pytest.mark.parametrize(
    ("canvas", "place"),
    [
        ({}, ""),
        ({"chain": [STEP, {}]}, " at .chain[1]"),
        ({"chain": [STEP, STEP | {"group": [STEP]}]}, " at .chain[1]"),
        ({"chord": {"header": [STEP], "body": {"chain": None}}}, " at .chord.body.chain"),
    ],
)
async def test_a_canvas_in_a_variable_without_exactly_one_member_is_located(
    local_client, canvas, place
):
    result = await local_client.run(WORKFLOW, variable_values={"canvas": canvas})

    (error,) = result.errors
    assert error.message.startswith(f"Variable '$canvas' has invalid value{place}: Within OneOf")


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"canvas": {"group": [STEP, {"step": {"task": {}}}]}}, "input.canvas.group.1.step.task"),
        ({"canvas": STEP, "options": {"start": {}}}, "options.start"),
    ],
)
async def test_an_input_that_a_batch_may_hold_is_a_problem_in_the_payload(
    local_client, variables, path
):
    answer = (await local_client.execute(WORKFLOW, **variables))["enqueueWorkflow"]

    assert [".".join(problem["path"]) for problem in answer["problems"]] == [path]


@pytest.mark.parametrize(
    ("canvas", "problem"),
    [
        ("{}", "Within OneOf Input Object type 'CanvasInput'"),
        ("{step: null}", "Within OneOf Input Object type 'CanvasInput'"),
        ("{step: {task: {}}}", "StepTaskInput: Exactly one field"),
        ("{step: {task: {add: null}}}", "StepTaskInput: Exactly one field"),
        ("{step: {task: {add: {x: 1}, mul: {x: 1}}}}", "StepTaskInput: Exactly one field"),
        ("{step: {task: {add: $nothing}}}", "Variable '$nothing' is not defined."),
    ],
)
async def test_a_literal_without_exactly_one_member_is_one_located_error(
    local_client, canvas, problem
):
    result = await local_client.run(
        f"mutation {{ enqueueWorkflow(input: {{canvas: {canvas}}}) {{ __typename }} }}"
    )

    (error,) = result.errors
    assert error.message.startswith(problem)
    assert error.locations


async def test_a_member_may_be_a_variable_in_a_fragment_before_its_operation(local_client):
    """Send a document that crashes Strawberry's own rule."""
    document = """
    fragment Both on Mutation { enqueueBatch(tasks: [{task: {add: $sum}}]) {
      ... on EnqueueBatchSuccess { items { index } } } }
    mutation($sum: AddStepInput!) { ...Both }
    """

    data = await local_client.execute(document, sum=ADD["add"])

    assert data == {"enqueueBatch": {"items": [{"index": 0}]}}
