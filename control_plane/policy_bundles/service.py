"""PolicyBundles: issues signed bundles into SQL, and holds those that devices may be offered in memory.

Every activation issues anew, in its own transaction, since a device takes no version below the one it has: an earlier
policy comes back as a later bundle. A bundle whose time is half over, or that devices find too old, is renewed by
whichever gateway notices.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.policy_admin.errors import PolicyNotFoundError
from control_plane.policy_admin.repository import PolicyRepository
from control_plane.policy_admin.service import POLICIES
from control_plane.policy_bundles.errors import NotIssuableError, SigningKeyError
from control_plane.policy_bundles.repository import BundleRepository
from control_plane.policy_bundles.signing_key import require_registered
from control_plane.policy_bundles.tables import PolicyBundleRow, PolicyKeyRow
from edgewise.signing import Ed25519Signer
from edgewise.wire.codec import encode_frame
from edgewise.wire.errors import FrameTooLargeError
from edgewise.wire.frames import PolicyOffer, PolicyStatus
from policies import SUPPORTED_MODES, Policy, PolicyError
from policies.bundle import BundleError, Refusal, pack
from policies.bundle.envelope import split

log = logging.getLogger(__name__)

LIFETIME: Final = timedelta(days=30)
AGAIN_S: Final = 300.0
"""A policy is issued anew, or the attempt is made, this often at most, whatever devices say or stands against it."""
BEHIND: Final = (Refusal.OLDER, Refusal.OTHER)
Listener = Callable[[], None]


class PolicyBundles:
    """Bundles of one gateway. `in_use` names the policy versions that devices may be offered at present."""

    def __init__(
        self,
        database: Database,
        signer: Ed25519Signer,
        *,
        in_use: Callable[[], Iterable[int]],
        lifetime: timedelta = LIFETIME,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        """`tell` is called after each bundle issued here outside of an activation, so that other gateways `refresh`."""
        self._database = database
        self._signer = signer
        self._in_use = in_use
        self._lifetime = lifetime
        self._now = now
        self._clock = clock
        self._tell_others = tell
        self._offers: dict[int, PolicyOffer] = {}
        self._behind: set[int] = set()
        self._not_before: dict[int, float] = {}
        self._listeners: list[Listener] = []
        self._refreshing = asyncio.Lock()

    @property
    def key_id(self) -> str:
        """The name of the key in bundles."""
        return self._signer.key_id

    @property
    def public_key(self) -> str:
        """What devices verify with, as text."""
        return self._signer.public.text

    def offer(self, policy_version: int) -> PolicyOffer | None:
        """The newest bundle of a policy version, from memory; None while none is known here."""
        return self._offers.get(policy_version)

    def on_changed(self, listener: Listener) -> None:
        """Call `listener()` whenever a newer bundle is known here."""
        self._listeners.append(listener)

    async def add(self, session: AsyncSession, policy_version: int, policy: Policy) -> None:
        """Issue a bundle in the caller's transaction, which holds the lock POLICIES; it is offered after the commit.

        Raises NotIssuableError for a policy of which no device would take a bundle, SigningKeyError.
        """
        bundles, now = BundleRepository(session), self._now()
        require_registered(self._signer, await bundles.key())
        last_version, last_issued_at = await bundles.last()
        # Never below the second it was issued in: a database that lost its newest rows issues what devices find newer.
        version = max(last_version + 1, int(now.timestamp()))
        # A device's time is never before the issue of what it has. Was one gateway's clock far ahead then, a bundle by
        # the right time would be over there.
        issued_at = max(now, last_issued_at or now)
        row = await asyncio.to_thread(self._packed, policy, policy_version, version, issued_at)
        await bundles.add(row)
        await bundles.forget_expired(now)
        event.listen(session.sync_session, "after_commit", lambda _: self._learn(_offer(row)), once=True)

    def refused(self, status: PolicyStatus) -> None:
        """A device does not take a bundle. Where it has a later one than the newest that is known here, SQL has lost
        some (a failover, a recovery to an earlier moment), and the next `refresh` issues the policy above it."""
        offer = self._offers.get(status.policy_version)
        if status.refusal in BEHIND and offer is not None and offer.digest == status.digest:
            self._behind.add(offer.version)

    async def refresh(self) -> None:
        """Know the newest bundle of each version in use; issue it where there is none, its time is half over, or
        devices have later ones. What cannot be issued is logged, the bundle before is offered on, and the next attempt
        comes after AGAIN_S. When nothing changed, this costs one small query each."""
        async with self._refreshing:
            for policy_version in sorted(set(self._in_use())):
                await self._refresh(policy_version)
            self._forget_unused(set(self._in_use()))

    async def newest(self) -> list[PolicyBundleRow]:
        """The newest bundle of each version in use, from SQL, without its bytes."""
        async with self._database.reading() as session:
            found = [await BundleRepository(session).newest(version) for version in sorted(set(self._in_use()))]
        return [row for row in found if row is not None]

    async def _refresh(self, policy_version: int) -> None:
        async with self._database.reading() as session:
            newest = await BundleRepository(session).newest(policy_version)
            key = await BundleRepository(session).key()
        if newest is not None and not self._knows(newest):
            await self._load(policy_version)
        if not self._due(newest, key) or self._clock() < self._not_before.get(policy_version, 0.0):
            return
        try:
            await self._renew(policy_version, newest)
        except (SigningKeyError, NotIssuableError, PolicyNotFoundError, PolicyError) as error:
            log.error("policy version %d cannot be issued anew: %s", policy_version, error)
        self._not_before[policy_version] = self._clock() + AGAIN_S

    async def _renew(self, policy_version: int, seen: PolicyBundleRow | None) -> None:
        """Issue it above everything else, unless another gateway has done so since `seen`, or has put another policy in
        its place: whose bundle is the later one then, and must stay it."""
        policy = await self._policy(policy_version)
        async with self._database.session(lock=POLICIES) as session:
            bundles = BundleRepository(session)
            newest = await bundles.newest(policy_version)
            issues = policy_version in await bundles.in_use() and _version(newest) == _version(seen)
            if issues:
                await self.add(session, policy_version, policy)
        if issues:
            self._tell_others()
        else:
            await self._load(policy_version)

    async def _policy(self, policy_version: int) -> Policy:
        async with self._database.reading() as session:
            row = await PolicyRepository(session).get(policy_version)
        if row is None:
            raise PolicyNotFoundError(policy_version)
        return await asyncio.to_thread(Policy.load, row.text, supported_modes=SUPPORTED_MODES)

    async def _load(self, policy_version: int) -> None:
        async with self._database.reading() as session:
            row = await BundleRepository(session).newest(policy_version, whole=True)
        if row is not None:
            self._learn(_offer(row))

    def _knows(self, row: PolicyBundleRow) -> bool:
        known = self._offers.get(row.policy_version)
        return known is not None and known.version >= row.version

    def _learn(self, offer: PolicyOffer) -> None:
        known = self._offers.get(offer.policy_version)
        if known is not None and known.version >= offer.version:
            return
        self._offers[offer.policy_version] = offer
        log.info("policy version %d is bundle %d (%s)", offer.policy_version, offer.version, offer.digest[:12])
        for listener in tuple(self._listeners):
            listener()

    def _forget_unused(self, in_use: set[int]) -> None:
        """Keep what is in use, and what was committed this moment and comes into use next: it is later than all that
        is."""
        last = max((offer.version for policy, offer in self._offers.items() if policy in in_use), default=0)
        self._offers = {
            policy: offer for policy, offer in self._offers.items() if policy in in_use or offer.version > last
        }
        self._behind &= {offer.version for offer in self._offers.values()}

    def _due(self, newest: PolicyBundleRow | None, key: PolicyKeyRow | None) -> bool:
        if newest is None or newest.version in self._behind or (key is not None and newest.key_id != key.key_id):
            return True
        return self._now() >= newest.issued_at + (newest.not_after - newest.issued_at) / 2

    def _packed(self, policy: Policy, policy_version: int, version: int, at: datetime) -> PolicyBundleRow:
        """A bundle that fits into a frame. The whole second before `at` is when it is issued."""
        issued_at = at.replace(microsecond=0)
        not_after = issued_at + self._lifetime
        times = {"issued_at_s": int(issued_at.timestamp()), "not_after_s": int(not_after.timestamp())}
        try:
            raw = pack(policy, self._signer, version=version, **times)
            row = PolicyBundleRow(
                version=version,
                policy_version=policy_version,
                digest=split(raw).digest,
                key_id=self._signer.key_id,
                issued_at=issued_at,
                not_after=not_after,
                raw=raw,
            )
            encode_frame(_offer(row))
        except (BundleError, FrameTooLargeError) as error:
            raise NotIssuableError(
                f"No bundle for devices can be made of the policy: {error}",
                where=f"policy {policy.name}",
                expected="a bundle that fits into one frame and passes a device's own checks",
                remedy="make the policy smaller: fewer rules, shorter lists and texts; nothing was changed",
            ) from error
        return row


def _version(row: PolicyBundleRow | None) -> int:
    return row.version if row is not None else 0


def _offer(row: PolicyBundleRow) -> PolicyOffer:
    return PolicyOffer(digest=row.digest, version=row.version, bundle=row.raw, policy_version=row.policy_version)
