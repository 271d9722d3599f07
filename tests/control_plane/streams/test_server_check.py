"""The look at the log server: both products for real, old versions and risky settings from what a server may say."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.exceptions import ResponseError

from control_plane.errors import LogServerTooOldError
from control_plane.streams.connection import dedicated_connection, describe
from control_plane.streams.listing import stream_ids
from control_plane.streams.server_check import NEEDED, check_server
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from edgewise.ids import new_id
from edgewise.local.valkey import ValkeyProcess
from edgewise.wire.errors import LogUnavailableError

SAFE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


class SaidServer:
    """Answers INFO and CONFIG GET with what a test says; `settings` None refuses CONFIG, as managed servers do."""

    def __init__(self, info: dict[str, Any], settings: dict[str, str] | None) -> None:
        self._info = info
        self._settings = settings
        self.connection_pool = Redis().connection_pool

    async def info(self) -> dict[str, Any]:
        return self._info

    async def config_get(self, name: str) -> dict[str, str]:
        if self._settings is None:
            raise ResponseError("unknown command 'CONFIG'")
        return {name: self._settings[name]}

    @classmethod
    def client(cls, info: dict[str, Any], settings: dict[str, str] | None) -> Redis:
        return cast(Redis, cls(info, settings))


async def test_our_own_servers_are_new_enough_and_lose_nothing(
    log_server: ValkeyProcess, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(log_server.url)
    info = await check_server(client)
    assert info.version >= NEEDED[info.product]
    assert info.settings == SAFE
    assert info.dangers == []
    assert not caplog.records
    await client.aclose()


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({"redis_version": "6.0.16"}, "Redis 6.0.16"),
        ({"redis_version": "7.2.4", "valkey_version": "7.1.0"}, "Valkey 7.1.0"),
        ({}, "Redis 0"),
    ],
)
async def test_an_old_server_is_named_with_what_is_needed(info: dict[str, Any], told: str) -> None:
    with pytest.raises(LogServerTooOldError, match=told) as caught:
        await check_server(SaidServer.client(info, SAFE))
    assert caught.value.expected == "Valkey 7.2 or newer or Redis 6.2 or newer"


@pytest.mark.parametrize("version", ["6.2.0", "7.4.1", "8.0"])
async def test_a_server_of_today_is_taken(version: str) -> None:
    assert (await check_server(SaidServer.client({"redis_version": version}, SAFE))).product == "redis"


@pytest.mark.parametrize(
    ("name", "value"),
    [("appendonly", "no"), ("appendfsync", "everysec"), ("maxmemory-policy", "allkeys-lru")],
)
async def test_a_setting_that_loses_answers_is_warned_of(
    name: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    info = await check_server(SaidServer.client({"redis_version": "7.4.0"}, SAFE | {name: value}))
    assert info.dangers == [name]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"CONFIG SET {name} {SAFE[name]}" in record.getMessage()


async def test_a_server_that_hides_its_settings_is_asked_another_way(caplog: pytest.LogCaptureFixture) -> None:
    said = {"redis_version": "7.4.0", "aof_enabled": 0, "maxmemory_policy": "noeviction"}
    info = await check_server(SaidServer.client(said, None))
    assert info.dangers == ["appendonly"]
    assert "does not tell its appendfsync" in caplog.text


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///no/such.sock"])
async def test_a_server_that_is_away_is_said(url: str) -> None:
    client = connect(url)
    with pytest.raises(LogUnavailableError):
        await check_server(client)
    await client.aclose()


async def test_a_password_is_used_and_not_shown(log_server: ValkeyProcess) -> None:
    """The servers' default user has none, so a user with one is made, who may do what docs/howto/postgresql.md says."""
    admin = connect(log_server.url)
    await admin.acl_setuser(
        "gateway",
        enabled=True,
        passwords=["+pa:s/s"],
        keys=["ew:*"],
        reset_channels=True,
        channels=["ew:*"],
        categories=["+@all", "-@dangerous"],
        commands=["+info", "+config|get"],
    )
    path = log_server.url.removeprefix("unix://")
    url = f"unix://gateway:pa%3As%2Fs@{path}"
    client = connect(url)
    await check_server(client)
    log = ValkeyStreamLog(client)
    sid = new_id()
    await log.create(sid, owner="k", request=b"r")
    assert "pa:s/s" not in describe(client)
    wrong = connect(f"unix://gateway:no@{path}")
    with pytest.raises(LogUnavailableError) as caught:
        await check_server(wrong)
    assert "password" in caught.value.remedy
    await log.aclose()
    await admin.acl_deluser("gateway")
    for each in (client, admin, wrong):
        await each.aclose()


def test_tls_and_its_settings_reach_the_logs_own_connections() -> None:
    client = connect("rediss://gateway:pass@log.example:6380/2?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.pem")
    connection = dedicated_connection(client)
    assert isinstance(connection, SSLConnection)
    assert (connection.host, connection.port, connection.db) == ("log.example", 6380, 2)
    assert connection.ssl_context.ca_certs == "/etc/ca.pem"
    assert connection.ssl_context.check_hostname
    assert describe(client) == "log.example:6380"


async def test_every_stream_is_listed_the_ended_too(log_server: ValkeyProcess) -> None:
    client = connect(log_server.url)
    log = ValkeyStreamLog(client)
    sids = {new_id() for _ in range(40)}
    for sid in sids:
        await log.create(sid, owner="k", request=b"r")
    await log.cancel(min(sids), payload=b"c")
    found = [sid async for sid in stream_ids(client)]
    assert sids <= set(found)
    assert len(found) == len(set(found))
    await log.aclose()
    await client.aclose()
