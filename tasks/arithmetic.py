"""Sums: the smallest typed tasks, for trying out chains."""

from typing import Annotated

from pydantic import Field

from tasks.engine import app

Number = Annotated[float, Field(allow_inf_nan=False)]


@app.task
def add(
    x: Annotated[Number, Field(description="First summand.")],
    y: Annotated[Number, Field(description="Second summand.")],
) -> float:
    """Add two numbers."""
    return x + y


@app.task
def mul(
    x: Annotated[Number, Field(description="First factor.")],
    y: Annotated[Number, Field(description="Second factor.")],
) -> float:
    """Multiply two numbers."""
    return x * y
