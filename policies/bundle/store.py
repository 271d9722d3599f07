"""The last known good bundle of a device, as a pure state machine: bundles and the time in, the next state out.

Keeping `bundle.raw` on disk, and reading the clock, is the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policies.bundle.errors import BundleError, Refusal
from policies.bundle.opened import Bundle
from policies.bundle.signing import Verifier
from policies.bundle.trust import open_bundle, restore_bundle
from policies.decision import ON_ERROR_RULE_ID, Decision
from policies.facts import FactValue
from policies.modes import Mode


@dataclass(frozen=True, slots=True)
class Accepted:
    """The offered bundle decides from now on."""

    bundle: Bundle


@dataclass(frozen=True, slots=True)
class Rejected:
    """The offered bundle was refused; the one before stays."""

    code: Refusal
    message: str


Verdict = Accepted | Rejected
_NO_BUNDLE: Final = "no policy bundle has been accepted yet"


@dataclass(frozen=True, slots=True)
class LastKnownGood:
    """What a device trusts. It goes on naming an expired bundle: its version still counts, and its safe decision."""

    bundle: Bundle | None = None

    @classmethod
    def restored(cls, raw: bytes, verifier: Verifier) -> LastKnownGood:
        """The state of a device that starts again. Raises BundleError when what it kept was changed."""
        return cls(restore_bundle(raw, verifier))

    def offer(self, raw: bytes, verifier: Verifier, now_s: float) -> tuple[LastKnownGood, Verdict]:
        """The state after a bundle has arrived, and what became of it. Never raises."""
        try:
            bundle = open_bundle(raw, verifier, self._no_earlier(now_s), last=self.bundle)
        except BundleError as error:
            return self, Rejected(error.code, error.message)
        return LastKnownGood(bundle), Accepted(bundle)

    def decide(self, facts: Mapping[str, FactValue], now_s: float) -> Decision:
        """The bundle's decision; after its time, or without one, a safe decision that stays on the device."""
        if self.bundle is None:
            return _without_bundle(facts)
        if not self.expired(now_s):
            return self.bundle.decide(facts)
        charter = self.bundle.charter
        return self.bundle.decide_safely(facts, f"version {charter.version} of {charter.name} has expired")

    def expired(self, now_s: float) -> bool:
        """Whether there is a bundle and its time is over, so that only safe decisions are made."""
        return self.bundle is not None and not self.bundle.holds_at(self._no_earlier(now_s))

    def _no_earlier(self, now_s: float) -> float:
        """The time, which is not before the trusted bundle was made, whatever a clock that was set back says."""
        return max(now_s, self.bundle.charter.issued_at_s) if self.bundle is not None else now_s


def _without_bundle(facts: Mapping[str, FactValue]) -> Decision:
    present = isinstance(facts, Mapping) and facts.get("device.present") is True
    return Decision(Mode.EDGE if present else Mode.REFUSE, ON_ERROR_RULE_ID, _NO_BUNDLE, errors=(_NO_BUNDLE,))
