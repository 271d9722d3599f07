"""A Plan: what a decision means for one answer, in tiers, order and time limits. The modes read it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Tier, TierKind

TierSource = Callable[[TierKind], list[Tier]]
WHOLE_TOKENS_PER_S = 5.0
"""Slower than any engine that is worth waiting for, where nothing is heard of it until its answer is whole."""


class Limits(msgspec.Struct, frozen=True):
    """Seconds. `first_token_s` of None waits as long as `stall_s`; `total_s` of None is no limit."""

    first_token_s: float | None = None
    stall_s: float = 30.0
    soft_s: float = 10.0
    total_s: float | None = None

    def first_s(self, whole_tokens: int = 0) -> float:
        """How long to wait for the first chunk: of an answer in one piece, as long as so many tokens may take, too."""
        return (self.first_token_s or self.stall_s) + whole_tokens / WHOLE_TOKENS_PER_S


class Plan(msgspec.Struct, frozen=True):
    """How one answer is to be made.

    `kinds` lists the tier kinds that may speak at all, best first: the order of fall-back and continuation. `tiers`
    is asked anew each time, so that a worker that came or went since the decision is seen. `whole`: nobody reads before
    the end, so a tier that can may give its answer in one piece.
    """

    mode: str
    kinds: tuple[TierKind, ...]
    tiers: TierSource
    limits: Limits = Limits()
    whole: bool = False

    def without(self, names: frozenset[str]) -> Plan:
        """The same plan with some tiers out of sight."""
        return msgspec.structs.replace(
            self, tiers=lambda kind: [tier for tier in self.tiers(kind) if tier.name not in names]
        )

    def candidates(self, state: GenerationState, tried: frozenset[str] = frozenset()) -> list[Tier]:
        """Tiers that can take `state` as it is, in order of preference, without those in `tried`."""
        found = [tier for kind in self.kinds for tier in self.tiers(kind)]
        return [tier for tier in found if tier.name not in tried and can_serve(tier, state)]


def can_serve(tier: Tier, state: GenerationState) -> bool:
    """Whether `tier` speaks the state's tokens (or text), and may continue an answer that has begun.

    A tier with a tokenizer digest works on ids and must share tokenizer and template; one without works on messages.
    """
    capabilities = tier.capabilities
    if (state.output_ids or state.output_text) and not capabilities.continues:
        return False
    if not capabilities.tokenizer_digest:
        return not state.local_only
    if len(state.prompt_ids) + len(state.output_ids) >= capabilities.context_tokens > 0:
        return False
    same = (
        capabilities.tokenizer_digest == state.tokenizer_digest
        and capabilities.template_digest == state.template_digest
    )
    return same and bool(state.output_ids or not state.output_text)
