"""Bundles when something was lost or wrong: a database put back, a clock far ahead, a key replaced, a late gateway."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from control_plane.backup.restore import restore_tables
from control_plane.database import Database
from control_plane.policy_admin.service import POLICIES
from control_plane.policy_admin.tables import PolicyActivationRow
from control_plane.policy_bundles.service import AGAIN_S
from control_plane.policy_bundles.tables import PolicyBundleRow
from edgewise.signing import Ed25519Verifier
from edgewise.wire.frames import PolicyOffer, PolicyStatus
from policies.bundle import Accepted, BundleError, LastKnownGood, Refusal
from tests.control_plane.backup.conftest import archived
from tests.control_plane.policy_bundles.conftest import HALF, LIFETIME, NOON, OPERATOR, Gateway, in_charge, staged
from tests.factories.bundles import SIGNER, STRANGER, named


async def test_a_device_takes_what_a_restored_control_plane_issues(
    gateway: Gateway, database: Database, tmp_path: Path
) -> None:
    archive, before = await archived(database, tmp_path), gateway.policies.current
    gateway.now += timedelta(seconds=1)
    await gateway.policies.create_and_activate(named("lost"), actor=OPERATOR)
    device = gateway.opened()
    assert device.charter.name == "lost"
    await restore_tables(database, archive, force=True)
    restored = Gateway(database)
    restored.now = NOON + timedelta(hours=1)
    await restored.load()
    bundle = restored.opened(last=device)
    assert (bundle.charter.policy_digest, bundle.charter.version) == (before.digest, int(restored.now.timestamp()))
    restored.now = NOON
    await restored.policies.activate(1, actor=OPERATOR)
    assert restored.opened(last=bundle).charter.version == bundle.charter.version + 1


async def lost_newest(database: Database) -> None:
    """A recovery to an earlier moment: the last activation and its bundle never were."""
    async with database.session() as session:
        newest = await session.scalar(select(func.max(PolicyBundleRow.version)))
        await session.execute(delete(PolicyBundleRow).where(PolicyBundleRow.version == newest))
        await session.execute(delete(PolicyActivationRow).where(PolicyActivationRow.version != 1))


async def test_a_bundle_that_devices_find_too_old_is_issued_anew_and_at_most_every_few_minutes(
    gateway: Gateway, database: Database
) -> None:
    gateway.now += timedelta(minutes=1)
    await gateway.policies.create_and_activate(named("lost"), actor=OPERATOR)
    device = gateway.opened()
    await lost_newest(database)
    recovered = Gateway(database)
    recovered.now = gateway.now + timedelta(minutes=1)
    await recovered.load()
    with pytest.raises(BundleError) as raised:
        recovered.opened(last=device)
    first = recovered.offer
    recovered.bundles.refused(refusal(first, raised.value.code))
    await recovered.bundles.refresh()
    assert recovered.opened(last=device).charter.name == "seed" and recovered.told == 1
    recovered.bundles.refused(refusal(first, Refusal.OLDER))
    recovered.bundles.refused(refusal(recovered.offer, Refusal.EXPIRED))
    recovered.now += timedelta(seconds=AGAIN_S)
    await recovered.bundles.refresh()
    assert recovered.told == 1
    for told in (2, 2, 2):
        recovered.bundles.refused(refusal(recovered.offer, Refusal.OLDER))
        await recovered.bundles.refresh()
        assert recovered.told == told


def refusal(offer: PolicyOffer, code: Refusal) -> PolicyStatus:
    return PolicyStatus(
        digest=offer.digest, applied=False, version=offer.version, policy_version=offer.policy_version, refusal=code
    )


async def test_a_policy_that_another_gateway_has_just_replaced_is_not_issued_above_the_new_one(
    gateway: Gateway, database: Database
) -> None:
    slow = Gateway(database)
    await slow.load()
    slow.now = gateway.now = NOON + HALF
    await gateway.policies.create_and_activate(named("one"), actor=OPERATOR)
    device = gateway.opened()
    await slow.bundles.refresh()
    await slow.load()
    assert slow.opened(last=device).charter.name == "one"
    async with database.reading() as session:
        last = await session.scalar(select(PolicyBundleRow).order_by(PolicyBundleRow.version.desc()).limit(1))
    assert last is not None and last.policy_version == gateway.policies.current.version


async def test_a_clock_that_was_far_ahead_makes_no_later_bundle_look_expired(
    gateway: Gateway, database: Database
) -> None:
    ahead = Gateway(database)
    ahead.now = NOON + 4 * LIFETIME
    await ahead.load()
    device, verifier = LastKnownGood(ahead.opened()), Ed25519Verifier([SIGNER.public])
    await gateway.policies.create_and_activate(named("one"), actor=OPERATOR)
    device, verdict = device.offer(gateway.offer.bundle, verifier, NOON.timestamp())
    assert isinstance(verdict, Accepted) and device.bundle is not None
    assert device.bundle.charter.name == "one" and not device.expired(NOON.timestamp())


async def test_a_clock_that_is_far_ahead_deletes_no_bundle_that_is_offered(
    gateway: Gateway, database: Database
) -> None:
    candidate = await staged(gateway, database)
    await gateway.bundles.refresh()
    offers = {gateway.offer.version}
    ahead = Gateway(database)
    ahead.now = NOON + 4 * LIFETIME
    async with database.session(lock=POLICIES) as session:
        await ahead.bundles.add(session, candidate, gateway.policies.active)
    async with database.reading() as session:
        assert offers <= set(await session.scalars(select(PolicyBundleRow.version)))


async def test_what_cannot_be_renewed_is_offered_on_and_tried_again_later(
    gateway: Gateway, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await in_charge(database, STRANGER)
    before = gateway.offer
    for after_s, logged in ((0.0, 1), (AGAIN_S - 1, 1), (1.0, 2)):
        gateway.now += timedelta(seconds=after_s)
        await gateway.bundles.refresh()
        assert (gateway.offer, gateway.told) == (before, 0)
        assert sum("cannot be issued anew" in record.message for record in caplog.records) == logged


async def test_a_start_whose_bundle_cannot_be_renewed_offers_the_one_that_there_is(
    gateway: Gateway, database: Database
) -> None:
    await in_charge(database, STRANGER)
    late = Gateway(database)
    late.now = NOON + HALF
    await late.load()
    assert late.offer == gateway.offer
    late.also = {99}
    await late.bundles.refresh()
    assert late.bundles.offer(99) is None
