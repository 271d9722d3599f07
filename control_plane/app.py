"""The HTTP face of the control plane: hot endpoints as plain ASGI, admin routers from FastAPI, one shape for errors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Route, WebSocketRoute
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

import control_plane.accounts.endpoints
import control_plane.audit.endpoints
import control_plane.decisions.endpoints
import control_plane.gateways.endpoints
import control_plane.jobs.endpoints
import control_plane.model_versions.endpoints
import control_plane.nodes.endpoints
import control_plane.observing.endpoints
import control_plane.policy_admin.endpoints
import control_plane.policy_bundles.endpoints
import control_plane.policy_rollouts.endpoints
import control_plane.stream_admin.endpoints
import control_plane.telemetry.endpoints
import control_plane.usage.endpoints
from control_plane.openapi import describe_hot_paths
from control_plane.plane import ControlPlane
from control_plane.policy_admin.costs import cost_by
from edgewise import __version__
from edgewise.api.chat import ChatCompletions
from edgewise.api.dispatch import App, HotPaths
from edgewise.api.metrics import Metrics
from edgewise.api.models import Models
from edgewise.api.streams import Streams
from edgewise.dialects.openai_errors import error_headers, error_json, http_status
from edgewise.observability.context import adopt, current_trace_id
from edgewise.wire.errors import (
    BadRequestError,
    EdgewiseError,
    ForbiddenError,
    MalformedJsonError,
    NotFoundError,
    UnauthenticatedError,
)

_BY_STATUS: dict[int, type[EdgewiseError]] = {401: UnauthenticatedError, 403: ForbiddenError, 404: NotFoundError}


CHAT = "/v1/chat/completions"


def build_server_app(plane: ControlPlane) -> HotPaths:
    """What the server runs: making and reading answers at once, every other route through the framework, which alone
    looks at what a proxy says of the client (uvicorn's variable names the proxies that are believed)."""
    chat = ChatCompletions(plane.answers, plane.visits, plane.leaving)
    streams = Streams(plane.answers, plane.leaving)
    proxies = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    return HotPaths(
        {("POST", CHAT): chat},
        {"GET": streams},
        cast(App, ProxyHeadersMiddleware(cast(Any, build_app(plane)), proxies)),
    )


def build_app(plane: ControlPlane) -> FastAPI:
    """All routes over a running control plane."""
    app = FastAPIOffline(title="Edgewise control plane", version=__version__, redoc_url=None)
    service = plane.answers
    app.router.routes += [
        Route(CHAT, ChatCompletions(service, plane.visits, plane.leaving), methods=["POST"]),
        Route("/v1/models", Models(service), methods=["GET"]),
        Route("/metrics", Metrics(service.observer, lambda shown: _require_operator(plane, shown)), methods=["GET"]),
        WebSocketRoute("/v1/streams", plane.stream_socket),
        Route("/v1/streams/{sid}", Streams(service, plane.leaving), methods=["GET", "DELETE"]),
        WebSocketRoute("/node/v1/session", plane.node_socket),
    ]
    for routes in (
        control_plane.accounts.endpoints.router(plane.accounts),
        control_plane.policy_admin.endpoints.router(
            plane.policies,
            plane.keyring,
            world=plane.world,
            recorded=plane.decisions.recorded,
            cost_of=cost_by(plane.config.prices),
        ),
        control_plane.policy_bundles.endpoints.router(plane.bundles, plane.keyring),
        control_plane.policy_rollouts.endpoints.router(plane.rollouts, plane.keyring),
        control_plane.nodes.endpoints.router(
            plane.registry, plane.keyring, plane.node_administration, plane.others_wanted
        ),
        control_plane.stream_admin.endpoints.router(plane.stream_desk, plane.keyring),
        control_plane.gateways.endpoints.router(plane.gateways, plane.keyring),
        control_plane.telemetry.endpoints.router(plane.telemetry, plane.keyring),
        control_plane.decisions.endpoints.router(plane.decisions, plane.keyring),
        control_plane.model_versions.endpoints.router(plane.catalog, plane.keyring, plane.active_models),
        control_plane.jobs.endpoints.router(plane.jobs.jobs, plane.keyring),
        control_plane.jobs.endpoints.internal_router(plane.jobs.nodes, plane.keyring),
        control_plane.audit.endpoints.router(plane.audit, plane.keyring),
        control_plane.observing.endpoints.latency_router(plane.latency, plane.keyring),
        control_plane.observing.endpoints.diagnostics_router(service.observer.diagnostics, plane.keyring, plane.audit),
    ):
        app.include_router(routes)
    for usage_routes in control_plane.usage.endpoints.routers(plane.usage, plane.keyring):
        app.include_router(usage_routes)
    _add_probes(app, plane)
    _add_error_handlers(app)
    describe_hot_paths(app)
    return app


def _require_operator(plane: ControlPlane, authorization: str) -> None:
    plane.keyring.authenticate(authorization).require("operator")


def _add_probes(app: FastAPI, plane: ControlPlane) -> None:
    @app.get("/healthz", tags=["probes"])
    async def alive() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok", "version": __version__}

    @app.get("/readyz", tags=["probes"])
    async def ready(response: Response, answers: bool = False) -> dict[str, Any]:
        """Whether requests can be answered now, part by part; 503 when one part cannot. With `answers`, for a load
        balancer: the database is told, but does not count, since answers go on without it."""
        parts = await plane.readiness()
        response.status_code = 200 if is_ready(parts, answers=answers) else 503
        nodes = {kind: len(plane.registry.tiers(kind)) for kind in ("edge", "cloud")}
        return {"ready": response.status_code == 200, "parts": parts, "nodes": nodes}


def is_ready(parts: Mapping[str, str], *, answers: bool) -> bool:
    """Whether every part is well; the database does not count where only `answers` do."""
    return all(part == "ok" for name, part in parts.items() if not (answers and name == "database"))


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(EdgewiseError)
    async def typed(request: Request, error: EdgewiseError) -> Response:
        adopt(request.headers.get("traceparent", ""))
        info = error.info()
        return _response(http_status(info), error_json(info), dict(error_headers(info)))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        adopt(request.headers.get("traceparent", ""))
        first = error.errors()[0]
        if first.get("type") == "json_invalid":
            return await typed(request, MalformedJsonError("The request body is not JSON", where="request body"))
        where = ".".join(str(part) for part in first.get("loc", ()))
        info = BadRequestError(f"The request is not valid: {first.get('msg', '')}", where=where).info()
        return _response(422, error_json(info, where), {})

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        adopt(request.headers.get("traceparent", ""))
        kind = _BY_STATUS.get(error.status_code, BadRequestError)
        info = kind(str(error.detail), where=request.url.path, remedy="see /docs for every path and method").info()
        headers = {name.encode(): value.encode() for name, value in (error.headers or {}).items()}
        return _response(error.status_code, error_json(info), headers)


def _response(status: int, body: bytes, headers: dict[bytes, bytes]) -> Response:
    named = {name.decode(): value.decode() for name, value in headers.items()} | {"x-trace-id": current_trace_id()}
    return Response(body, status, headers=named, media_type="application/json")
