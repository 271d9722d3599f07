"""The data side of a control plane, whole but small: services on a real database, the admin routers, an HTTP client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

import control_plane.accounts.endpoints
import control_plane.audit.endpoints
import control_plane.decisions.endpoints
import control_plane.model_versions.endpoints
import control_plane.policy_admin.endpoints
import control_plane.policy_rollouts.endpoints
import control_plane.telemetry.endpoints
from control_plane.accounts.first_keys import FirstKeys, ensure_first_keys, read_first_keys
from control_plane.accounts.keyring import KeyRing
from control_plane.accounts.service import Accounts
from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from control_plane.decisions.recorder import DecisionRecorder
from control_plane.decisions.service import Decisions
from control_plane.decisions.spill import SpillFile
from control_plane.model_versions.active import ActiveModels
from control_plane.model_versions.service import ModelCatalog
from control_plane.policy_admin.service import PolicyStore
from control_plane.policy_rollouts.service import PolicyRollouts, refuse_while_open
from control_plane.telemetry.service import TelemetryIntake
from edgewise.dialects.openai_errors import error_body
from edgewise.wire.errors import BadRequestError, EdgewiseError
from tests.factories.database import open_database

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@dataclass
class Admin:
    """Everything that a test of the admin API may want to hold."""

    database: Database
    keyring: KeyRing
    audit: AuditTrail
    accounts: Accounts
    policies: PolicyStore
    rollouts: PolicyRollouts
    recorder: DecisionRecorder
    catalog: ModelCatalog
    active: ActiveModels
    keys: FirstKeys
    app: FastAPI
    client: httpx.AsyncClient
    """Sends the operator's key."""

    def using(self, key: str) -> httpx.AsyncClient:
        """A client that sends another key."""
        return _client(self.app, key)


@asynccontextmanager
async def running_admin(
    directory: Path, *, url: str = "", now: Callable[[], datetime] = lambda: NOON
) -> AsyncIterator[Admin]:
    """Started services in `directory` and a client with the operator's key. The recorder's task is not running."""
    async with open_database(directory, url=url) as database:
        keyring = KeyRing(now_s=lambda: now().timestamp())
        audit = AuditTrail(database, now=now)
        accounts = Accounts(database, keyring, audit, now=now)
        await ensure_first_keys(accounts, directory, "http://127.0.0.1:8080")
        keys = read_first_keys(directory)
        assert keys is not None
        policies = PolicyStore(database, audit, now=now, may_change=refuse_while_open)
        await policies.load()
        rollouts = PolicyRollouts(database, audit, policies, gateway="here", now=now)
        await rollouts.load()
        recorder = DecisionRecorder(database, SpillFile(directory))
        catalog, active = ModelCatalog(database, audit, now=now), ActiveModels(database, audit, now=now)
        decisions, telemetry = Decisions(database, recorder), TelemetryIntake(database, now=now)
        app = _app(accounts, audit, policies, rollouts, decisions, telemetry, catalog, active)
        async with _client(app, keys.operator) as client:
            yield Admin(
                database, keyring, audit, accounts, policies, rollouts, recorder, catalog, active, keys, app, client
            )


class AdminApp(FastAPI):
    """Makes the routes of a feature when it is first asked for: to make them all takes longer than most tests do."""

    def __init__(self, features: dict[str, Callable[[], APIRouter]]) -> None:
        super().__init__()
        self._features = features

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._add(scope["path"].split("/")[3:4])  # /admin/v1/<feature>
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Of all features."""
        self._add(list(self._features))
        return super().openapi()

    def _add(self, features: list[str]) -> None:
        for feature in features:
            if feature in self._features:
                self.include_router(self._features.pop(feature)())


def _client(app: FastAPI, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://admin", headers={"authorization": f"Bearer {key}"}
    )


def _app(
    accounts: Accounts,
    audit: AuditTrail,
    policies: PolicyStore,
    rollouts: PolicyRollouts,
    decisions: Decisions,
    telemetry: TelemetryIntake,
    catalog: ModelCatalog,
    active: ActiveModels,
) -> FastAPI:
    keyring = accounts.keyring
    app = AdminApp(
        {
            "keys": lambda: control_plane.accounts.endpoints.router(accounts),
            "audit": lambda: control_plane.audit.endpoints.router(audit, keyring),
            "policies": lambda: control_plane.policy_admin.endpoints.router(
                policies, keyring, recorded=decisions.recorded
            ),
            "policy-rollouts": lambda: control_plane.policy_rollouts.endpoints.router(rollouts, keyring),
            "decisions": lambda: control_plane.decisions.endpoints.router(decisions, keyring),
            "nodes": lambda: control_plane.telemetry.endpoints.router(telemetry, keyring),
            "models": lambda: control_plane.model_versions.endpoints.router(catalog, keyring, active),
        }
    )

    @app.exception_handler(EdgewiseError)
    async def typed(_request: Request, error: EdgewiseError) -> JSONResponse:
        return JSONResponse(error_body(error.info()), error.http_status)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(error_body(BadRequestError(error.errors()[0]["msg"]).info()), 422)

    return app
