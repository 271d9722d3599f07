"""The policy side of gateways on one database, with clocks that tests move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from control_plane.policy_admin.service import POLICIES, PolicyStore
from control_plane.policy_bundles.service import PolicyBundles
from control_plane.policy_bundles.signing_key import register
from control_plane.policy_rollouts.tables import PolicyRolloutRow
from edgewise.signing import Ed25519Signer, Ed25519Verifier
from edgewise.wire.frames import PolicyOffer
from policies.bundle import Bundle, open_bundle
from tests.factories.bundles import SIGNER, STRANGER, named

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LIFETIME = timedelta(days=30)
HALF = LIFETIME / 2
OPERATOR = "operator"


class Gateway:
    """The policy side of one gateway on a shared database, with a clock that a test moves."""

    def __init__(self, database: Database, signer: Ed25519Signer = SIGNER) -> None:
        self.now = NOON
        self.told = 0
        self.also: set[int] = set()
        self.bundles = PolicyBundles(
            database,
            signer,
            in_use=lambda: {self.policies.current.version, *self.also},
            lifetime=LIFETIME,
            now=lambda: self.now,
            clock=lambda: self.now.timestamp(),
            tell=self._tell,
        )
        self.policies = PolicyStore(database, AuditTrail(database), issue=self.bundles.add)

    def _tell(self) -> None:
        self.told += 1

    async def load(self) -> None:
        """As after a message of another gateway, or at the start."""
        await self.policies.load()
        await self.bundles.refresh()

    @property
    def offer(self) -> PolicyOffer:
        """What devices are offered by default."""
        found = self.bundles.offer(self.policies.current.version)
        assert found is not None
        return found

    def opened(self, last: Bundle | None = None) -> Bundle:
        """The offered bundle as a device takes it, after `last`."""
        verifier = Ed25519Verifier([SIGNER.public, STRANGER.public])
        return open_bundle(self.offer.bundle, verifier, self.now.timestamp(), last=last)


async def in_charge(database: Database, signer: Ed25519Signer) -> None:
    async with database.session(lock=POLICIES) as session:
        await register(session, AuditTrail(database), signer, actor="test", at=NOON)


@pytest.fixture
async def gateway(database: Database) -> Gateway:
    await in_charge(database, SIGNER)
    opened = Gateway(database)
    await opened.load()
    return opened


async def staged(gateway: Gateway, database: Database, base: int = 1) -> int:
    """The version of a candidate whose rollout is open."""
    candidate = await gateway.policies.create(named("candidate"), actor=OPERATOR)
    words = {"name": "r", "text": "", "plan_digest": "", "state": {}, "position": "running", "author": OPERATOR}
    versions = {"base_version": base, "candidate_version": candidate.version}
    async with database.session() as session:
        session.add(PolicyRolloutRow(**words, **versions, revision=1, created_at=NOON, changed_at=NOON))
    gateway.also = set(versions.values())
    return candidate.version
