"""What another process changed reaches the ring, cheaply when there is nothing, and never undoes a change made here."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.accounts.service import Accounts, KeyRequest
from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from edgewise.wire.errors import UnauthenticatedError

BY = Principal("op", "default", "standard", frozenset({"operator"}))
OPERATOR, APP = KeyRequest("op", ("operator",)), KeyRequest("app", ("app",))


def accounts_on(database: Database, told: list[str] | None = None) -> Accounts:
    return Accounts(database, KeyRing(), AuditTrail(database), tell=lambda: told.append("keys") if told else None)


async def test_keys_made_rotated_and_revoked_elsewhere(database: Database) -> None:
    here, there = accounts_on(database), accounts_on(database)
    await here.load()
    app = await there.create(APP, BY)
    await here.reload()
    assert here.keyring.authenticate(app.key).key_id == app.row.id
    fresh = await there.rotate(app.row.id, 3600, BY)
    await here.reload()
    assert here.keyring.authenticate(fresh.key).key_id == app.row.id
    fallen: list[str] = []
    here.keyring.on_revoked(fallen.append)
    await there.revoke(app.row.id, BY)
    await here.reload()
    assert fallen == [app.row.id]
    with pytest.raises(UnauthenticatedError):
        here.keyring.authenticate(fresh.key)


async def test_nothing_changed_costs_one_small_query(database: Database) -> None:
    accounts = accounts_on(database)
    await accounts.load()
    accounts.load = None  # type: ignore[method-assign, assignment]  # it would be called
    await accounts.reload()


async def test_every_change_is_told_after_its_commit(database: Database) -> None:
    told: list[int] = []
    accounts = Accounts(database, KeyRing(), AuditTrail(database), tell=lambda: told.append(len(accounts.keyring)))
    await accounts.create(OPERATOR, BY)
    app = await accounts.create(APP, BY)
    await accounts.rotate(app.row.id, 1, BY)
    await accounts.revoke(app.row.id, BY)
    assert told == [1, 2, 2, 1]


async def test_a_key_made_while_the_ring_is_read_again_stays(database: Database) -> None:
    accounts = accounts_on(database)
    made: list[Any] = []
    reading = database.reading

    @asynccontextmanager
    async def slow_reading() -> Any:
        async with reading() as session:
            yield session
        if not made:
            made.append(await accounts.create(APP, BY))

    database.reading = slow_reading  # type: ignore[method-assign]
    await accounts.load()
    assert accounts.keyring.authenticate(made[0].key).roles == {"app"}
