"""The ASGI app: its routes, its middleware (CORS among it), and the health checks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp

from celeryql.adopt.find import load_celery_app
from celeryql.engine import Engine
from celeryql.errors import exit_on_bad_configuration
from celeryql.observability import traces
from celeryql.settings import Settings, load_settings
from graphql_api.auth.authenticator import Authenticator
from graphql_api.execution.context import Services
from graphql_api.observability.metrics import Metrics
from graphql_api.observability.metrics_endpoint import MetricsEndpoint
from graphql_api.pages import graphiql
from graphql_api.schema import build_schema
from graphql_api.transport.endpoint import GraphQLEndpoint
from graphql_api.transport.request_id import RequestIdMiddleware

_NOT_TRACED = {"/healthz", "/readyz", "/metrics"}  # machines request these all the time


def create_app(settings: Settings | None = None) -> FastAPI:
    """Create the app. It connects to Redis when it starts.

    It does not restrict who may reach it: `graphql_api/server.py` does, and limits connections.

    Args:
        settings: None to read them.

    Raises:
        SystemExit: a task cannot be exposed, or a setting cannot be used; the reason is on standard
            error.
    """
    with exit_on_bad_configuration():
        settings = settings or load_settings()
        api = build_schema(load_celery_app(settings.celery_app))
        authenticator = Authenticator(settings)
    engine = Engine(settings, api.definitions, api.queues)
    metrics = Metrics(engine.submitter.durations)
    services = Services(engine, api.to_graphql, authenticator, metrics)
    page = partial(graphiql.page, settings.graphiql_dir)
    endpoint = GraphQLEndpoint(api.schema, services, page)

    app = FastAPI(
        title="CeleryQL",
        lifespan=partial(_lifespan, engine, endpoint),
        openapi_url=None,
        redirect_slashes=False,  # the redirect would go to whatever host `Host` names
        telemetry={"exclude": lambda scope: scope["path"] in _NOT_TRACED},
    )
    app.add_middleware(RequestIdMiddleware)
    if settings.cors_origins:
        _allow_origins(app, settings.cors_origins)
    app.router.routes += _at("/graphql", endpoint)
    app.mount("/graphql/assets", graphiql.Assets(settings.graphiql_dir))
    is_public = authenticator.is_on or settings.proxy_headers
    metrics_endpoint = MetricsEndpoint(metrics, engine, is_public=is_public)
    app.router.routes.append(Route("/metrics", metrics_endpoint, methods=["GET"]))
    app.router.routes += _probes(engine)
    return app


@asynccontextmanager
async def _lifespan(engine: Engine, endpoint: GraphQLEndpoint, _: FastAPI) -> AsyncIterator[None]:
    traces.start_exporting("celeryql-api")
    traces.propagate_traces()
    async with engine:
        yield
        await endpoint.finish()
    await asyncio.to_thread(traces.flush)


def _allow_origins(app: FastAPI, origins: tuple[str, ...]) -> None:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "X-Request-ID", "traceparent"],
        expose_headers=["X-Request-ID"],
    )


def _probes(engine: Engine) -> list[BaseRoute]:
    # Starlette's routes: for its own, FastAPI would import all of pydantic v1.
    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> JSONResponse:
        problem = await engine.find_problem()
        return JSONResponse({"status": problem or "ready"}, status_code=503 if problem else 200)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def _at(path: str, endpoint: ASGIApp) -> list[BaseRoute]:
    # Routes, because a mounted app only answers with a slash after its path.
    return [Route(path, endpoint), WebSocketRoute(path, endpoint)]
