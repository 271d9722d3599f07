"""Processes that are no gateway ask the gateways for work, over a real server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from control_plane.gateways.changes import SharedChanges
from control_plane.gateways.connecting import gateway_connections
from control_plane.gateways.directory import GatewayDirectory
from control_plane.gateways.service import Gateways, Identity
from control_plane.gateways.work import Work
from edgewise.local.valkey import ValkeyProcess
from edgewise.wire.errors import FencedError, LogUnavailableError, ShuttingDownError, StreamNotFoundError
from tests.control_plane.gateways.conftest import forget
from tests.control_plane.nodes.conftest import quick_registry


@asynccontextmanager
async def running(
    url: str, own_id: str, take_up: Callable[[str], Awaitable[bool]], busy: int = 0, warmed: int = 0
) -> AsyncIterator[Gateways]:
    async def warm() -> int:
        return warmed

    async with gateway_connections(url) as (bus, store):
        gateways = Gateways(
            Identity(gateway_id=own_id, name=own_id, version="1", started_at_s=0.0),
            bus=bus,
            store=store,
            registry=quick_registry(),
            changes=SharedChanges(clock=time.monotonic),
            work=Work(take_up=take_up, running=lambda: busy, on_warm=warm),
        )
        async with gateways.running():
            yield gateways


@pytest.fixture
async def directory(valkey_server: ValkeyProcess) -> AsyncIterator[GatewayDirectory]:
    await forget(valkey_server.url)
    opened = GatewayDirectory(valkey_server.url)
    yield opened
    await opened.aclose()


async def test_the_least_busy_gateway_is_asked_first(valkey_server: ValkeyProcess, directory: GatewayDirectory) -> None:
    asked: list[str] = []

    def taking(name: str, answer: bool | Exception) -> Callable[[str], Awaitable[bool]]:
        async def take_up(sid: str) -> bool:
            asked.append(f"{name} {sid}")
            if isinstance(answer, Exception):
                raise answer
            return answer

        return take_up

    url = valkey_server.url
    async with (
        running(url, "busy", taking("busy", True), busy=7, warmed=2),
        running(url, "idle", taking("idle", ShuttingDownError("stopping")), warmed=3),
    ):
        assert [(each.gateway_id, each.running) for each in await directory.live()] == [("idle", 0), ("busy", 7)]
        assert await directory.ask_to_resume("s1")
        assert asked == ["idle s1", "busy s1"]
        assert await directory.ask_to_warm() == 5
    assert await directory.live() == []
    assert not await directory.ask_to_resume("s1")


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (False, True),
        (FencedError("another"), True),
        (StreamNotFoundError("gone"), True),
        (ShuttingDownError("stopping"), False),
        (LogUnavailableError("away"), False),
    ],
)
async def test_what_counts_as_taken(
    valkey_server: ValkeyProcess, directory: GatewayDirectory, answer: bool | Exception, taken: bool
) -> None:
    async def take_up(sid: str) -> bool:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with running(valkey_server.url, "one", take_up):
        assert await directory.ask_to_resume("s") is taken


async def test_a_server_that_is_not_there_is_said() -> None:
    directory = GatewayDirectory("unix:///no/such/valkey.sock")
    with pytest.raises(LogUnavailableError):
        await directory.live()
    await directory.aclose()
