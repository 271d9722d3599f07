"""Policies and model versions that another process changed; two processes that start at once on an empty database."""

from __future__ import annotations

import asyncio

from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from control_plane.model_versions.service import ModelCatalog
from control_plane.policy_admin.service import ActivePolicy, PolicyStore
from policies.library import seed_text
from tests.control_plane.policy_admin.test_service import SMALL as SMALL_POLICY
from tests.factories.tiers import manifest_of


def store_on(database: Database, told: list[str]) -> PolicyStore:
    return PolicyStore(database, AuditTrail(database), tell=lambda: told.append("policies"))


async def test_a_policy_activated_elsewhere_is_in_force_here_and_offered(database: Database) -> None:
    told: list[str] = []
    here, there = store_on(database, told), store_on(database, told)
    await here.load()
    await there.load()
    offered: list[ActivePolicy] = []
    here.on_activated(offered.append)
    await there.create_and_activate(SMALL_POLICY, actor="op")
    assert told == ["policies"]
    await here.reload()
    await here.reload()
    assert [active.text for active in offered] == [SMALL_POLICY]
    await there.roll_back(actor="op")
    await here.reload()
    assert here.current.text == seed_text() and told == ["policies"] * 2


async def test_two_first_starts_seed_one_policy(database: Database) -> None:
    stores = [store_on(database, []) for _ in range(2)]
    await asyncio.gather(*(store.load() for store in stores))
    assert len(await stores[0].page()) == 1
    assert stores[0].current.version == stores[1].current.version == 1


async def test_a_model_registered_elsewhere_is_known_here(database: Database) -> None:
    told: list[str] = []
    here, there = (ModelCatalog(database, AuditTrail(database), tell=lambda: told.append("models")) for _ in range(2))
    await here.load()
    await there.register(manifest_of())
    await there.register(manifest_of())
    assert told == ["models"]
    assert here.versions() == []
    await here.reload()
    assert [row.name for row in here.versions()] == ["small"]
