"""OneOf inputs: each error names a place, in variables and in documents alike."""

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
async def test_a_canvas_in_a_variable_that_is_not_exactly_one_is_named(door, canvas, place):
    result = await door.run(WORKFLOW, variable_values={"canvas": canvas})

    (error,) = result.errors
    assert error.message.startswith(f"Variable '$canvas' has invalid value{place}: Within OneOf")


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"canvas": {"group": [STEP, {"step": {"task": {}}}]}}, "input.canvas.group.1.step.task"),
        ({"canvas": STEP, "options": {"start": {}}}, "options.start"),
    ],
)
async def test_what_can_stand_in_a_batch_is_refused_as_an_input(door, variables, path):
    answer = (await door.execute(WORKFLOW, **variables))["enqueueWorkflow"]

    assert [".".join(problem["path"]) for problem in answer["problems"]] == [path]


@pytest.mark.parametrize(
    ("canvas", "complaint"),
    [
        ("{}", "Within OneOf Input Object type 'CanvasInput'"),
        ("{step: null}", "Within OneOf Input Object type 'CanvasInput'"),
        ("{step: {task: {}}}", "StepTaskInput: Exactly one field"),
        ("{step: {task: {add: null}}}", "StepTaskInput: Exactly one field"),
        ("{step: {task: {add: {x: 1}, mul: {x: 1}}}}", "StepTaskInput: Exactly one field"),
        ("{step: {task: {add: $nothing}}}", "Variable '$nothing' is not defined."),
    ],
)
async def test_a_document_is_refused_once_at_the_place(door, canvas, complaint):
    result = await door.run(
        f"mutation {{ enqueueWorkflow(input: {{canvas: {canvas}}}) {{ __typename }} }}"
    )

    (error,) = result.errors
    assert error.message.startswith(complaint)
    assert error.locations


async def test_a_member_in_a_fragment_ahead_of_its_operation_may_be_a_variable(door):
    """Ask as Strawberry's own rule cannot read it."""
    document = """
    fragment Both on Mutation { enqueueBatch(tasks: [{task: {add: $sum}}]) {
      ... on EnqueueBatchSuccess { items { index } } } }
    mutation($sum: AddStepInput!) { ...Both }
    """

    data = await door.execute(document, sum=ADD["add"])

    assert data == {"enqueueBatch": {"items": [{"index": 0}]}}
