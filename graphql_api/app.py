"""The ASGI app: GraphQL, and whether the process is alive and ready."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from strawberry.fastapi import GraphQLRouter
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from graphql_api.context import Context, Viewer
from graphql_api.schema import build_schema
from tasks.engine.celery_app import ending_in_one_sentence
from tasks.engine.engine import Engine
from tasks.engine.settings import Settings, load_settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app; it connects to Redis when it is started, not before.

    Raises:
        SystemExit: a task cannot be offered; the reason is on standard error.
    """
    with ending_in_one_sentence():
        api = build_schema()
    engine = Engine(settings or load_settings(), api.definitions)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine:
            yield

    async def context() -> Context:
        return Context(engine, Viewer(), api.present)

    router: GraphQLRouter[Any, Any] = GraphQLRouter(
        api.schema,
        context_getter=context,
        subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
    )
    app = FastAPI(title="CeleryQL", lifespan=lifespan, openapi_url=None)
    app.include_router(router, prefix="/graphql")

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        if await engine.is_ready():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "Redis does not answer"}, status_code=503)

    return app
