"""Which version is wanted where: activations form a stack, tenants count first, routing follows from memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.model_versions.active import ActiveModels, Place
from control_plane.model_versions.errors import NothingActiveError, VersionUnknownError
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.tier import Capabilities
from edgewise.wire.frames import ModelOffer
from tests.factories.admin import Admin
from tests.factories.tiers import manifest_of

URL = "/admin/v1/models"
EDGE = Place("small", "edge")
FIRST = manifest_of()
SECOND = msgspec.structs.replace(FIRST, recipe="second")


@pytest.fixture
async def active(admin: Admin) -> ActiveModels:
    for manifest in (FIRST, SECOND):
        await admin.catalog.register(manifest)
    return admin.active


def tier(name: str, version: str) -> ScriptedTier:
    return ScriptedTier(name, "edge", Script(), Capabilities(models=("small",), model_version=version))


async def test_tiers_with_the_wanted_version_come_first_and_required_leaves_others_out(active: ActiveModels) -> None:
    tiers = [tier("a", FIRST.id), tier("b", SECOND.id), tier("c", FIRST.id)]
    assert active.prefer(tiers, "acme") == tiers
    await active.activate(EDGE, SECOND.id, required=False, actor="k")
    assert [each.name for each in active.prefer(tiers, "acme")] == ["b", "a", "c"]
    await active.activate(replace(EDGE, tenant="acme"), FIRST.id, required=True, actor="k")
    assert [each.name for each in active.prefer(tiers, "acme")] == ["a", "c"]
    assert [each.name for each in active.prefer(tiers, "other")] == ["b", "a", "c"]


async def test_a_reload_that_began_before_a_change_does_not_undo_it(admin: Admin, active: ActiveModels) -> None:
    reading, begun, gate = admin.database.reading, asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def slow() -> AsyncIterator[AsyncSession]:
        async with reading() as session:
            yield session
        begun.set()
        await gate.wait()

    admin.database.reading = slow  # type: ignore[method-assign]
    reload = asyncio.create_task(active.load())
    await begun.wait()
    change = asyncio.create_task(active.activate(EDGE, SECOND.id, required=False, actor="k"))
    await asyncio.wait([change], timeout=0.05)
    gate.set()
    await asyncio.gather(reload, change)
    assert [row.version_id for row in active.present()] == [SECOND.id]


async def test_rolling_back_and_deactivating(admin: Admin, active: ActiveModels) -> None:
    await active.activate(EDGE, FIRST.id, required=False, actor="k")
    await active.activate(EDGE, SECOND.id, required=True, actor="k")
    assert (await active.roll_back(EDGE, actor="k")).version_id == FIRST.id
    with pytest.raises(NothingActiveError):
        await active.roll_back(EDGE, actor="k")
    assert (await active.deactivate(EDGE, actor="k")).version_id is None
    assert active.wanted("small", "edge", "acme") is None
    with pytest.raises(NothingActiveError):
        await active.deactivate(EDGE, actor="k")
    assert (await active.roll_back(EDGE, actor="k")).version_id == FIRST.id
    entries = [(e.action, e.target, e.before, e.after) for e in await admin.audit.page() if e.actor == "k"]
    assert entries[0] == ("model.rollback", "model/small/edge", None, FIRST.id)
    again = ActiveModels(admin.database, admin.audit)
    await again.load()
    wanted = again.wanted("small", "edge", "any")
    assert wanted is not None and wanted.version_id == FIRST.id


async def test_a_node_is_told_what_is_wanted_instead(active: ActiveModels) -> None:
    await active.activate(EDGE, SECOND.id, required=False, actor="k")
    offers = [ModelOffer(name="small", version=FIRST.id), ModelOffer(name="other", version="v")]
    assert active.others_wanted(offers, "edge", "acme") == {"small": SECOND.id}
    assert active.others_wanted(offers, "cloud", "acme") == {}
    assert active.others_wanted([ModelOffer(name="small", version=SECOND.id)], "edge", "acme") == {}


async def test_an_unregistered_version_cannot_be_wanted(active: ActiveModels) -> None:
    with pytest.raises(VersionUnknownError):
        await active.activate(EDGE, "f" * 64, required=False, actor="k")
    with pytest.raises(VersionUnknownError):
        await active.activate(Place("large", "edge"), FIRST.id, required=False, actor="k")


@dataclass
class Sent:
    status: int
    code: str


async def test_a_manifest_is_registered_with_its_card_and_its_digest_checked(admin: Admin) -> None:
    plain = msgspec.to_builtins(FIRST)
    wrong = await admin.client.post(URL, json={"manifest": plain, "expected_id": "0" * 64})
    assert Sent(wrong.status_code, wrong.json()["error"]["code"]) == Sent(422, "manifest_refused")
    strange = await admin.client.post(URL, json={"manifest": plain, "weights": "x"})
    assert strange.status_code == 422
    made = await admin.client.post(URL, json={"manifest": plain, "expected_id": FIRST.id, "card": "# small 小"})
    assert (made.status_code, made.json()["id"]) == (201, FIRST.id)
    whole = (await admin.client.get(f"{URL}/{FIRST.id}")).json()
    assert (whole["card"], whole["manifest"]["name"]) == ("# small 小", "small")
    assert (await admin.client.get(f"{URL}/{'0' * 64}")).status_code == 404
    wanted = await admin.client.post(f"{URL}/{FIRST.id}/activate", json={"tenant": "acme"})
    assert (wanted.status_code, wanted.json()["tier"], wanted.json()["tenant"]) == (200, "edge", "acme")
    assert [each["version_id"] for each in (await admin.client.get(f"{URL}/active")).json()["items"]] == [FIRST.id]
