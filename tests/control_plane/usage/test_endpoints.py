"""Limits and usage over HTTP: what operators set and read, what a caller sees of its own key, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

import control_plane.usage.endpoints
from control_plane.usage.charges import day_number
from control_plane.usage.counters import shard_of
from control_plane.usage.memory_counters import MemoryCounters
from control_plane.usage.reports import UsageReports
from edgewise.api.host import Caller
from tests.control_plane.usage.worlds import TestClock, World, _world, lose
from tests.factories.admin import Admin


class Desk:
    """A gateway whose limits are administered over HTTP."""

    def __init__(self, admin: Admin, world: World) -> None:
        self.admin = admin
        self.world = world

    async def open(self) -> None:
        self.gateway = await self.world.gateway()
        reports = UsageReports(
            self.world.database,
            self.gateway.book,
            self.world.counters,
            self.gateway.ledger,
            now=self.world.clock.moment,
        )
        for routes in control_plane.usage.endpoints.routers(reports, self.admin.keyring):
            self.admin.app.include_router(routes)
        keys = (await self.admin.client.get("/admin/v1/keys")).json()["items"]
        self.app_key = next(key["id"] for key in keys if key["roles"] == ["app"])
        self.caller = Caller(self.app_key, "default", "standard")

    async def put(self, path: str, **limits: object) -> httpx.Response:
        return await self.admin.client.put(f"/admin/v1/limits/{path}", json=limits)


@pytest.fixture
async def desk(admin: Admin, tmp_path: Path) -> AsyncIterator[Desk]:
    clock = TestClock()
    folder = tmp_path / "world"
    folder.mkdir()
    counters = MemoryCounters(now_ms=clock.ms)
    made = Desk(admin, _world(admin.database, folder, counters, clock, counters.lose))
    await made.open()
    yield made


async def test_set_show_and_clear(desk: Desk) -> None:
    made = await desk.put(desk.app_key, tokens_per_day=100, requests_per_minute=3)
    assert made.status_code == 200
    assert made.json()["budgets"]["tokens_per_day"]["remaining"] == 100, "loaded before anybody asks"
    await desk.gateway.answer(desk.caller, 10, 50, 5)
    sid = await desk.gateway.begin(desk.caller, 10, 20)
    shown = (await desk.admin.client.get(f"/admin/v1/limits/{desk.app_key}")).json()
    assert shown["budgets"]["tokens_per_day"] == {"limit": 100, "spent": 15, "reserved": 30, "remaining": 55}
    assert (shown["running"], shown["requests_in_minute"], shown["tokens_in_minute"]) == (1, 2, 45)
    await desk.gateway.end(sid, 10, 1)
    cleared = await desk.admin.client.delete(f"/admin/v1/limits/{desk.app_key}")
    assert set(cleared.json()["limits"].values()) == {None}


async def test_a_tenants_limits_bind_all_its_keys_and_every_change_is_audited(desk: Desk) -> None:
    assert (await desk.put("tenants/default", concurrent=0)).status_code == 200
    assert desk.gateway.book.limited(desk.app_key, "default") is not None
    await desk.admin.client.delete("/admin/v1/limits/tenants/default")
    entries = (await desk.admin.client.get("/admin/v1/audit", params={"target": "tenant:default"})).json()["items"]
    assert [entry["action"] for entry in entries] == ["limits.clear", "limits.set"]
    assert entries[1]["after"] == '{"concurrent":0}'


async def test_limits_keys_and_cursors_that_are_none(desk: Desk) -> None:
    wrong: list[dict[str, object]] = [
        {"tokens_per_day": -1},
        {"tokens_per_day": "7"},
        {"tokens_per_day": 10**16},
        {"unknown": 1},
    ]
    for limits in wrong:
        assert (await desk.put(desk.app_key, **limits)).status_code == 422
    for cursor in ("x", "00", "5b5d", "ff"):
        answer = await desk.admin.client.get("/admin/v1/usage", params={"after": cursor})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "cursor_malformed")
    for method in ("GET", "DELETE"):
        assert (await desk.admin.client.request(method, "/admin/v1/limits/nobody")).status_code == 404
    assert (await desk.put("nobody", concurrent=1)).status_code == 404


async def test_usage_by_key_tenant_and_day_page_by_page(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        for _ in range(2):
            await desk.gateway.answer(Caller(name, "t", "free"), 1, 9, 2)
        desk.world.clock.pass_(86_400)
    desk.gateway.ledger.refused("a", "t", day_number(desk.world.clock.moment()))
    seen: list[tuple[str, int, int, int]] = []
    after: dict[str, str] = {}
    while True:
        answer = await desk.admin.client.get("/admin/v1/usage", params={"tenant": "t", "limit": 2, **after})
        page = answer.json()
        seen += [(row["key_id"], row["requests"], row["refused"], row["completion_tokens"]) for row in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == [("a", 0, 1, 0), ("c", 2, 0, 4), ("b", 2, 0, 4), ("a", 2, 0, 4)]
    only = await desk.admin.client.get("/admin/v1/usage", params={"key": "b", "since": "2026-05-17"})
    assert [row["day"] for row in only.json()["items"]] == ["2026-05-17"]


async def test_a_caller_sees_its_own_and_nothing_else(desk: Desk) -> None:
    await desk.put(desk.app_key, tokens_total=50)
    await desk.gateway.answer(desk.caller, 10, 20, 5)
    async with desk.admin.using(desk.admin.keys.app) as client:
        own = (await client.get("/v1/usage")).json()
        assert own["key"]["budgets"]["tokens_total"]["remaining"] == 35
        assert own["tenant"]["budgets"] == {}
        assert [row["prompt_tokens"] for row in own["today"]] == [10]
        for path in ("/admin/v1/usage", f"/admin/v1/limits/{desk.app_key}"):
            assert (await client.get(path)).status_code == 403
    async with desk.admin.using("nothing") as client:
        assert (await client.get("/v1/usage")).status_code == 401


async def test_a_gateway_that_starts_loads_the_budgets_of_keys_from_where_their_tenant_is(desk: Desk) -> None:
    await desk.put(desk.app_key, tokens_per_day=100)
    await lose(desk.world)
    started = await desk.world.gateway()
    await started.loaded()
    desk.world.clock.pass_(4)
    await started.loaded()
    assert await started.tokens("key", desk.app_key, "default", "dt") == (0, 0)
    assert started.book.shards() == {shard_of("default")}
