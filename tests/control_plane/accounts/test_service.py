"""Accounts on a real database: what is stored, what is audited, and who cannot be locked out."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from control_plane.accounts.keyring import KeyRing
from control_plane.accounts.keys import key_digest
from control_plane.accounts.service import Accounts, KeyRequest
from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from edgewise.wire.errors import ConflictError, NotFoundError, UnauthenticatedError
from tests.factories.admin import Admin


def other_process(admin: Admin) -> Accounts:
    """A second control plane on the same database."""
    return Accounts(admin.database, KeyRing(), AuditTrail(admin.database))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_only_the_digest_reaches_the_disk(admin: Admin, tmp_path: Path) -> None:
    issued = await admin.accounts.create(
        KeyRequest("my app", ("app",)), admin.keyring.authenticate(admin.keys.operator)
    )
    await admin.database.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("test.sqlite3*"))
    assert key_digest(issued.key).encode() in stored
    for secret in (issued.key, admin.keys.operator, admin.keys.app, admin.keys.node):
        assert secret.encode() not in stored
        assert secret[9:].encode() not in stored


async def test_a_repr_hides_the_key(admin: Admin) -> None:
    issued = await admin.accounts.create(KeyRequest("x", ("app",)), admin.keyring.authenticate(admin.keys.operator))
    assert issued.key not in repr(issued)
    assert admin.keys.operator not in repr(admin.keys)


async def test_another_process_takes_in_new_and_revoked_keys(admin: Admin) -> None:
    operator = admin.keyring.authenticate(admin.keys.operator)
    second = other_process(admin)
    await second.load()
    issued = await admin.accounts.create(KeyRequest("x", ("app",)), operator)
    with pytest.raises(UnauthenticatedError):
        second.keyring.authenticate(issued.key)
    await second.load()
    fallen: list[str] = []
    second.keyring.on_revoked(fallen.append)
    assert second.keyring.authenticate(issued.key).key_id == issued.row.id
    await admin.accounts.revoke(issued.row.id, operator)
    await second.load()
    assert fallen == [issued.row.id]


async def test_revoking_is_audited_once_with_who_did_it(admin: Admin) -> None:
    operator = admin.keyring.authenticate(admin.keys.operator)
    issued = await admin.accounts.create(KeyRequest("x", ("app",)), operator)
    first = await admin.accounts.revoke(issued.row.id, operator)
    again = await admin.accounts.revoke(issued.row.id, operator)
    assert again.revoked_at == first.revoked_at
    entries = await admin.audit.page(target=issued.row.id)
    assert [(entry.action, entry.actor) for entry in entries] == [
        ("key.revoke", operator.key_id),
        ("key.create", operator.key_id),
    ]


async def test_the_last_operator_cannot_lock_everybody_out(admin: Admin) -> None:
    operator = admin.keyring.authenticate(admin.keys.operator)
    with pytest.raises(ConflictError) as caught:
        await admin.accounts.revoke(operator.key_id, operator)
    assert caught.value.remedy
    assert admin.keyring.is_live(operator.key_id)
    second = await admin.accounts.create(KeyRequest("second", ("operator",)), operator)
    await admin.accounts.revoke(operator.key_id, admin.keyring.authenticate(second.key))
    assert not admin.keyring.is_live(operator.key_id)


@pytest.mark.parametrize("key_id", ["0" * 26, "nonsense", "\0", "\ud800"])
async def test_an_unknown_key_is_not_found(admin: Admin, key_id: str) -> None:
    with pytest.raises(NotFoundError):
        await admin.accounts.revoke(key_id, admin.keyring.authenticate(admin.keys.operator))


async def test_a_failing_database_lets_no_key_in(database: Database) -> None:
    ring = KeyRing()
    accounts = Accounts(database, ring, AuditTrail(database), make_id=lambda: "0" * 26)
    await accounts.register([(KeyRequest("one", ("app",)), "ek_" + "a" * 43)])
    with pytest.raises(IntegrityError):
        await accounts.register([(KeyRequest("two", ("app",)), "ek_" + "b" * 43)])
    assert len(ring) == 1
