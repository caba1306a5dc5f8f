"""Who asks, as clients see it."""

from __future__ import annotations

import strawberry

from graphql_api import described, viewer
from graphql_api.values import Scope


@described.type
class Viewer:
    """Who asks."""

    subject: str = strawberry.field(
        description="Tasks belong to it; `anonymous` where no authentication is set up."
    )
    scopes: list[Scope] = strawberry.field(description="What it may do.")

    @classmethod
    def of(cls, asking: viewer.Viewer) -> Viewer:
        """Present who asks."""
        return cls(subject=asking.subject, scopes=[s for s in Scope if asking.has(s)])
