"""The interface of everything that has an id."""

from __future__ import annotations

from typing import Annotated

import strawberry

from graphql_api.types import decorators

IdArgument = Annotated[
    strawberry.ID, strawberry.argument(description="The id of a task or a workflow.")
]


@decorators.interface
class Node:
    """An object that can be fetched by its id."""

    id: strawberry.ID = strawberry.field(
        description="The id of the object, unique among all nodes."
    )
