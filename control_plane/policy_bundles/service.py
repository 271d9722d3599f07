"""PolicyBundles: issues signed bundles into SQL, and holds those that devices may be offered in memory.

Every activation issues anew, in its own transaction, since a device takes no version below the one it has: an earlier
policy comes back as a later bundle. A bundle whose time is half over is renewed by whichever gateway notices.
"""

from __future__ import annotations

import asyncio
import logging
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
from control_plane.policy_bundles.errors import NotIssuableError
from control_plane.policy_bundles.repository import BundleRepository
from control_plane.policy_bundles.signing_key import require_registered
from control_plane.policy_bundles.tables import PolicyBundleRow
from edgewise.signing import Ed25519Signer
from edgewise.wire.codec import encode_frame
from edgewise.wire.errors import FrameTooLargeError
from edgewise.wire.frames import PolicyOffer
from policies import SUPPORTED_MODES, Policy
from policies.bundle import BundleError, pack
from policies.bundle.envelope import split

log = logging.getLogger(__name__)

LIFETIME: Final = timedelta(days=30)
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
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        """`tell` is called after each bundle issued here outside of an activation, so that other gateways `refresh`."""
        self._database = database
        self._signer = signer
        self._in_use = in_use
        self._lifetime = lifetime
        self._now = now
        self._tell_others = tell
        self._offers: dict[int, PolicyOffer] = {}
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
        # Never below the second it was issued in: a database put back from a backup issues what devices find newer.
        version = max(await bundles.last_version() + 1, int(now.timestamp()))
        row = await asyncio.to_thread(self._packed, policy, policy_version, version, now)
        await bundles.forget_expired(now)
        await bundles.add(row)
        event.listen(session.sync_session, "after_commit", lambda _: self._learn(_offer(row)), once=True)

    async def issue(self, policy_version: int) -> PolicyOffer:
        """Issue a policy version anew, above every version that any device can have.

        Raises PolicyNotFoundError, and what `add` raises.
        """
        return await self._issued(policy_version, only_if_due=False)

    async def refresh(self) -> None:
        """Know the newest bundle of each version in use; issue it where there is none or its time is half over. When
        nothing changed, this costs one small query each."""
        async with self._refreshing:
            for policy_version in sorted(set(self._in_use())):
                async with self._database.reading() as session:
                    newest = await BundleRepository(session).newest(policy_version)
                    key = await BundleRepository(session).key()
                if newest is None or self._due(newest) or (key is not None and newest.key_id != key.key_id):
                    await self._issued(policy_version, only_if_due=True)
                elif not self._knows(newest):
                    await self._load(policy_version)

    async def newest(self) -> list[PolicyBundleRow]:
        """The newest bundle of each version in use, from SQL, without its bytes."""
        async with self._database.reading() as session:
            found = [await BundleRepository(session).newest(version) for version in sorted(set(self._in_use()))]
        return [row for row in found if row is not None]

    async def _issued(self, policy_version: int, *, only_if_due: bool) -> PolicyOffer:
        policy = await self._policy(policy_version)
        async with self._database.session(lock=POLICIES) as session:
            newest = await BundleRepository(session).newest(policy_version) if only_if_due else None
            fresh = newest is not None and not self._due(newest) and newest.key_id == self._signer.key_id
            if not fresh:
                await self.add(session, policy_version, policy)
        if fresh:  # another gateway was first
            await self._load(policy_version)
        else:
            self._tell_others()
        return self._offers[policy_version]

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

    def _due(self, row: PolicyBundleRow) -> bool:
        return self._now() >= row.issued_at + (row.not_after - row.issued_at) / 2

    def _packed(self, policy: Policy, policy_version: int, version: int, now: datetime) -> PolicyBundleRow:
        """A bundle that fits into a frame. The whole second before `now` is when it is issued."""
        issued_at = now.replace(microsecond=0)
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


def _offer(row: PolicyBundleRow) -> PolicyOffer:
    return PolicyOffer(digest=row.digest, version=row.version, bundle=row.raw, policy_version=row.policy_version)
