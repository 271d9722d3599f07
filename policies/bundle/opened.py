"""Bundle: a policy that has passed every check of this device, ready to decide, also after its time is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from policies.build import Trees
from policies.bundle.payload import Charter
from policies.decide import Policy
from policies.decision import ON_ERROR_RULE_ID, Decision
from policies.document import Document
from policies.facts import FactValue
from policies.invariants import DECIDED, CheckedInvariant
from policies.language.syntax import Span
from policies.language.typed import Input
from policies.language.types import BOOL

STAYS_HOME: Final = "expired-bundle-stays-on-the-device"
_LEAVES: Final = Input(Span(0, 0), BOOL, DECIDED["decision.leaves_device"])


@dataclass(frozen=True, slots=True)
class Bundle:
    """A trusted bundle. Made by `trust.open_bundle` only.

    digest: SHA-256 of the payload, in hex. raw: the whole bundle, to keep on disk.
    """

    charter: Charter
    digest: str
    raw: bytes = field(repr=False)
    _policy: Policy = field(repr=False, compare=False)
    _safe: Policy = field(repr=False, compare=False)

    def decide(self, facts: Mapping[str, FactValue]) -> Decision:
        """What the control plane decides for these facts, bit for bit. Never raises."""
        return self._policy.decide(facts)

    def decide_safely(self, facts: Mapping[str, FactValue], why: str) -> Decision:
        """The declared onError outcome without any step that leaves the device; `why` comes first among the errors."""
        decision = self._safe.decide(facts)
        return replace(decision, rule_id=ON_ERROR_RULE_ID, errors=(why, *decision.errors))

    def holds_at(self, now_s: float) -> bool:
        """Whether the bundle has not expired; a time that is no number is no time."""
        return now_s <= self.charter.not_after_s


def made_bundle(charter: Charter, digest: str, raw: bytes, document: Document, trees: Trees) -> Bundle:
    """The bundle of trees that were checked on this device."""
    stays = CheckedInvariant(STAYS_HOME, _LEAVES)
    safe = replace(document, rules=(), default=document.on_error)
    safe_trees = replace(trees, rules=(), invariants=(*trees.invariants, stays))
    return Bundle(
        charter,
        digest,
        raw,
        Policy(document, trees, "", digest=charter.policy_digest),
        Policy(safe, safe_trees, "", digest=charter.policy_digest),
    )
