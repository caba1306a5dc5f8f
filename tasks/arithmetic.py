"""Arithmetic tasks: the smallest typed tasks, for trying out chains."""

from typing import Annotated

from pydantic import Field

from tasks.celery_app import app

Number = Annotated[float, Field(allow_inf_nan=False)]  # JSON and GraphQL have no infinity


@app.task
def add(
    x: Annotated[Number, Field(description="First summand.")],
    y: Annotated[Number, Field(description="Second summand.")],
) -> Number:
    """Add two numbers."""
    return x + y


@app.task
def mul(
    x: Annotated[Number, Field(description="First factor.")],
    y: Annotated[Number, Field(description="Second factor.")],
) -> Number:
    """Multiply two numbers."""
    return x * y
