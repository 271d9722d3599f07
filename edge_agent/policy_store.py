"""The policy that this device decides by: the last bundle it accepted, kept on disk for offline use, or its seed.

`current.bundle` → `previous.bundle`, each checked again when it is read. The seed decides only while no bundle was ever
kept. What a bundle must be is `policies.bundle`; which keys are trusted is edge_agent/policy_trust.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from edge_agent.policy_trust import TrustedKeys, write_whole
from edgewise.wire.errors import PolicyBundleError, PolicyInvalidError
from edgewise.wire.frames import PolicyOffer, Scalar, TelemetryRecord
from policies import Decision, Policy, PolicyError
from policies.bundle import MAX_BYTES, Bundle, BundleError, LastKnownGood, Refusal, Rejected
from policies.facts import FactValue

logger = logging.getLogger(__name__)

CURRENT, PREVIOUS = "current.bundle", "previous.bundle"
POLICY_KIND: Final = "policy"
Standing = Literal["seed", "in-force", "expired", "lost"]
"""Which policy decides: the seed, the bundle; after its time, or when no kept bundle can be used, the safe decision."""

_ISSUED_ANEW: Final = "wait some minutes: the control plane issues it under a new version; if not, activate it again"
_REMEDIES: Final = {
    Refusal.EXPIRED: "set this device's clock, and it is offered again; if the clock is right, look why the control "
    "plane does not renew its bundles",
    Refusal.OLDER: _ISSUED_ANEW,
    Refusal.OTHER: _ISSUED_ANEW,
    Refusal.PROFILE: "upgrade this agent to the control plane's release",
    Refusal.SCHEMA: "upgrade this agent to the control plane's release",
}


class PolicyStore:
    """Holds the policy in force. `directory` is made when a bundle is kept; `seed` is the text of the last resort.

    record: keeps a telemetry record, for what an operator should hear of. now: seconds since 1970 (UTC). write: puts a
    whole file in its place.
    Raises PolicyInvalidError from the constructor only when the seed itself is broken.
    """

    def __init__(
        self,
        directory: Path,
        seed: str,
        trusted: TrustedKeys | None = None,
        *,
        record: Callable[[TelemetryRecord], object] = lambda record: None,
        now: Callable[[], float] = time.time,
        write: Callable[[Path, bytes], None] = write_whole,
    ) -> None:
        self._directory = directory
        self._seed = _load(seed)
        self._trusted = trusted or TrustedKeys(directory)
        self._record = record
        self._now = now
        self._write = write
        self._taking = asyncio.Lock()
        self._told_expired = ""
        self._known, self._lost = self._restored()

    @property
    def digest(self) -> str:
        """The digest of the bundle that was accepted last, as Hello and PolicyOffer name it; empty without one."""
        return self._known.bundle.digest if self._known.bundle else ""

    @property
    def policy_digest(self) -> str:
        """The digest of the policy that decides, as decisions name it; empty when no kept bundle can be used."""
        if self._known.bundle is not None:
            return self._known.bundle.charter.policy_digest
        return "" if self._lost else self._seed.digest

    @property
    def standing(self) -> Standing:
        """Which policy decides at this moment."""
        if self._known.bundle is None:
            return "lost" if self._lost else "seed"
        return "expired" if self._known.expired(self._now()) else "in-force"

    def decide(self, facts: Mapping[str, FactValue]) -> Decision:
        """The bundle's decision, or the seed's; after the bundle's time a safe one that stays here. Never raises."""
        now_s = self._now()
        if self._known.bundle is None:
            return self._without_bundle(facts, now_s)
        if self._known.expired(now_s):
            self._tell_expired(self._known.bundle, now_s)
        return self._known.decide(facts, now_s)

    async def take(self, offer: PolicyOffer, key: str) -> None:
        """Check an offered bundle and decide by it from here on. `key`: the public key that Welcome named.

        Raises PolicyBundleError; the bundle before then stays. A disk that does not take the file costs only the memory
        of it: the bundle is in force until a restart.
        """
        async with self._taking:
            verifier = self._trusted.verifier(key)
            fresh, verdict = await asyncio.to_thread(self._known.offer, offer.bundle, verifier, self._now())
            if isinstance(verdict, Rejected):
                raise self._refused(offer, verdict)
            if verdict.bundle.digest != offer.digest:
                raise self._refused(offer, Rejected(Refusal.DIGEST, "the offer names another bundle than it brings"))
            before, self._known, self._lost = self._known.bundle, fresh, False
            await asyncio.to_thread(self._keep, before, verdict.bundle, key)
            charter = verdict.bundle.charter
            logger.info("policy %s (%s) is in force", charter.name, charter.policy_digest[:12])

    def _without_bundle(self, facts: Mapping[str, FactValue], now_s: float) -> Decision:
        if not self._lost:
            return self._seed.decide(facts)
        why = "no kept policy bundle can be used; the next one that is accepted decides again"
        return replace(self._known.decide(facts, now_s), reason=why, errors=(why,))

    def _tell_expired(self, bundle: Bundle, now_s: float) -> None:
        """Once for each bundle: requests are many."""
        if self._told_expired == bundle.digest:
            return
        self._told_expired = bundle.digest
        charter = bundle.charter
        logger.warning(
            "the policy bundle has expired, so this device keeps to itself until it gets a new one",
            extra={"policy": charter.policy_digest, "not_after_s": charter.not_after_s},
        )
        values: dict[str, Scalar] = {"event": "expired", "policy": charter.policy_digest, "version": charter.version}
        self._record(TelemetryRecord(now_s, POLICY_KIND, values))

    def _refused(self, offer: PolicyOffer, verdict: Rejected) -> PolicyBundleError:
        logger.warning("an offered policy bundle is refused: %s", verdict.message, extra={"refusal": verdict.code})
        remedy = _REMEDIES.get(verdict.code, "offer the bundle again; if it is refused again, compare the two releases")
        return PolicyBundleError(
            f"The policy bundle is refused: {verdict.message}",
            refusal=verdict.code,
            where=f"bundle {offer.digest[:12]}",
            expected=self._trusted.expected if verdict.code is Refusal.SIGNATURE else "",
            remedy=self._trusted.remedy if verdict.code is Refusal.SIGNATURE else remedy,
        )

    # The disk -----------------------------------------------------------------------------------------------------

    def _restored(self) -> tuple[LastKnownGood, bool]:
        """What was kept, and whether something was and none of it can be used."""
        kept = [path for path in (self._directory / CURRENT, self._directory / PREVIOUS) if path.exists()]
        for path in kept:
            try:
                return LastKnownGood.restored(_read(path), self._trusted.verifier("")), False
            except (OSError, BundleError) as error:
                logger.warning("the kept policy bundle is passed over: %s", error, extra={"path": str(path)})
        return LastKnownGood(), bool(kept)

    def _keep(self, before: Bundle | None, bundle: Bundle, key: str) -> None:
        """The key, then the bundle before, then this one, each written whole: wherever a crash falls, every file is
        whole, and `current` is the old bundle or the new one."""
        try:
            self._trusted.keep(key)
            if before is not None and before.digest != bundle.digest:
                self._write(self._directory / PREVIOUS, before.raw)
            self._write(self._directory / CURRENT, bundle.raw)
        except OSError as error:
            logger.warning("the policy is in force but could not be kept for a restart: %s", error)


def _read(path: Path) -> bytes:
    """At most one byte more than a bundle may have, which is enough to refuse it."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _load(seed: str) -> Policy:
    try:
        return Policy.load_for_activation(seed)
    except PolicyError as error:
        raise PolicyInvalidError(f"The seed policy cannot be used: {error}", remedy="install the agent anew") from error
