"""Keys that end by themselves, and keys with two secrets: who hears of it, once, and when."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from control_plane.accounts.expiry import LOOK_AGAIN_S, ExpiryWatch
from control_plane.accounts.keyring import KeyRing, LiveKey, Principal
from control_plane.accounts.keys import key_digest, new_key
from control_plane.accounts.service import KeyRequest
from edgewise.wire.errors import ConflictError, NotFoundError, UnauthenticatedError
from tests.factories.admin import NOON, Admin
from tests.factories.clock import ManualClock

OLD, NEW = new_key(), new_key()


def secret(key: str, expires_at_s: float | None = None, key_id: str = "k1") -> LiveKey:
    return LiveKey(key_digest(key), Principal(key_id, "acme", "standard", frozenset({"app"})), expires_at_s)


class Ears:
    """What listeners of a ring heard."""

    def __init__(self, ring: KeyRing) -> None:
        self.heard: list[tuple[str, ...]] = []
        ring.on_revoked(lambda key_id: self.heard.append((key_id,)))
        ring.on_secret_ended(lambda key_id, digest: self.heard.append((key_id, digest)))


def test_an_expiry_is_told_once_and_the_key_is_refused_as_expired() -> None:
    clock = ManualClock(100.0)
    ring = KeyRing(now_s=clock)
    ears = Ears(ring)
    ring.add(secret(OLD, 110.0))
    ring.expire()
    assert (ears.heard, ring.next_end_s()) == ([], 110.0)
    clock.now = 110.0
    ring.expire()
    ring.expire()
    assert (ears.heard, ring.next_end_s()) == ([("k1",)], None)
    with pytest.raises(UnauthenticatedError, match="expired"):
        ring.authenticate(OLD)


def test_a_rotated_secret_ends_alone() -> None:
    clock = ManualClock(100.0)
    ring = KeyRing(now_s=clock)
    ears = Ears(ring)
    ring.add(secret(OLD))
    ring.add(secret(NEW), secret(OLD, 110.0))
    assert ring.authenticate(OLD) == ring.authenticate(NEW)
    assert (len(ring), ears.heard) == (1, [])
    clock.now = 111.0
    ring.expire()
    assert ears.heard == [("k1", key_digest(OLD))]
    assert ring.is_live("k1") and ring.authenticate(NEW).key_id == "k1"
    with pytest.raises(UnauthenticatedError):
        ring.authenticate(OLD)
    ring.remove("k1")
    assert ears.heard[1:] == [("k1",)]


def test_a_second_rotation_ends_the_first_secret_at_once() -> None:
    ring, third = KeyRing(now_s=ManualClock(1.0)), new_key()
    ears = Ears(ring)
    ring.add(secret(NEW), secret(OLD, 110.0))
    ring.add(secret(third), secret(NEW, 120.0))
    assert ears.heard == [("k1", key_digest(OLD))]


async def test_the_watch_sleeps_until_the_next_expiry_and_wakes_for_a_new_key() -> None:
    clock = ManualClock(100.0)
    ring = KeyRing(now_s=clock)
    ears, naps = Ears(ring), list[float]()

    async def wait(changed: asyncio.Event, timeout_s: float) -> None:
        naps.append(timeout_s)
        if len(naps) == 2:
            ring.add(secret(OLD, 105.0))
        elif len(naps) == 3:
            clock.now += timeout_s
        elif len(naps) == 4:
            raise asyncio.CancelledError
        await asyncio.sleep(0)

    ring.add(secret(NEW, key_id="k2"))
    with pytest.raises(asyncio.CancelledError):
        await ExpiryWatch(ring, now_s=clock, wait=wait).run()
    assert naps == [LOOK_AGAIN_S, LOOK_AGAIN_S, 5.0, LOOK_AGAIN_S]
    assert ears.heard == [("k1",)]


async def test_rotating_keeps_the_id_and_lets_both_in_for_the_overlap(admin: Admin) -> None:
    operator = admin.keyring.authenticate(admin.keys.operator)
    made = await admin.accounts.create(KeyRequest("x", ("app",), "acme"), operator)
    answer = await admin.client.post(f"/admin/v1/keys/{made.row.id}/rotate", json={"overlap_s": 60})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    told = answer.json()
    assert told["id"] == made.row.id and told["key"] != made.key
    assert told["old_expires_at"] == (NOON + timedelta(seconds=60)).isoformat().replace("+00:00", "Z")
    assert admin.keyring.authenticate(made.key) == admin.keyring.authenticate(told["key"])
    await admin.accounts.load()
    assert admin.keyring.authenticate(made.key).key_id == admin.keyring.authenticate(told["key"]).key_id
    (entry,) = await admin.audit.page(action="key.rotate")
    assert entry.target == made.row.id and told["key"] not in str(entry.after)


async def test_an_overlap_of_nothing_ends_the_old_secret_now(admin: Admin) -> None:
    made = await admin.accounts.create(KeyRequest("x", ("app",)), admin.keyring.authenticate(admin.keys.operator))
    await admin.client.post(f"/admin/v1/keys/{made.row.id}/rotate", json={"overlap_s": 0})
    with pytest.raises(UnauthenticatedError):
        admin.keyring.authenticate(made.key)


async def test_a_key_that_has_ended_or_never_was_cannot_be_rotated(admin: Admin) -> None:
    operator = admin.keyring.authenticate(admin.keys.operator)
    made = await admin.accounts.create(KeyRequest("x", ("app",)), operator)
    await admin.accounts.revoke(made.row.id, operator)
    with pytest.raises(ConflictError, match="has ended"):
        await admin.accounts.rotate(made.row.id, 60.0, operator)
    with pytest.raises(NotFoundError):
        await admin.accounts.rotate("nobody", 60.0, operator)
