"""A Plan: what a decision means for one answer, in tiers, order and time limits. The modes read it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edgewise.generation.state import GenerationState
from edgewise.routing.terms import fallback_step, serves
from edgewise.routing.tier import Tier, TierKind
from edgewise.wire.errors import EdgewiseError, NoTierError, TierRejectedError, UnsupportedParameterError
from policies import StepTerms, Terms
from policies.terms import NO_TERMS

TierSource = Callable[[TierKind], list[Tier]]
WHOLE_TOKENS_PER_S = 5.0
"""Slower than any engine that is worth waiting for, where nothing is heard of it until its answer is whole."""


class Limits(msgspec.Struct, frozen=True):
    """Seconds. `first_token_s` of None waits as long as `stall_s`; `total_s` of None is no limit.

    `head_start_s`: how long one kind of tier is alone before the next one starts beside it; None: until it has failed.
    """

    first_token_s: float | None = None
    stall_s: float = 30.0
    soft_s: float = 10.0
    total_s: float | None = None
    head_start_s: float | None = None

    def first_s(self, whole_tokens: int = 0) -> float:
        """How long to wait for the first chunk: of an answer in one piece, as long as so many tokens may take, too."""
        return (self.first_token_s or self.stall_s) + whole_tokens / WHOLE_TOKENS_PER_S


class Plan(msgspec.Struct, frozen=True):
    """How one answer is to be made.

    `kinds` lists the tier kinds that may speak at all, best first: the order of fall-back and continuation. `tiers`
    is asked anew each time, so that a worker that came or went since the decision is seen. `whole`: nobody reads before
    the end, so a tier that can may give its answer in one piece. `terms`: what the decision asks beside its mode; of
    fallbacks only those that are not among the mode's own tiers.
    """

    mode: str
    kinds: tuple[TierKind, ...]
    tiers: TierSource
    limits: Limits = Limits()
    whole: bool = False
    terms: Terms = NO_TERMS

    def only(self, kind: TierKind) -> Plan:
        """The same plan with this kind of tier alone."""
        return msgspec.structs.replace(self, kinds=(kind,))

    def without(self, names: frozenset[str]) -> Plan:
        """The same plan with some tiers out of sight."""
        return msgspec.structs.replace(
            self, tiers=lambda kind: [tier for tier in self.tiers(kind) if tier.name not in names]
        )

    def candidates(self, state: GenerationState, tried: frozenset[str] = frozenset()) -> list[Tier]:
        """Tiers that can take `state` as it is, in order of preference, without those in `tried`."""
        found = [tier for kind in self.kinds for tier in self._serving(kind)]
        return [tier for tier in found if tier.name not in tried and can_serve(tier, state)]

    def passed_over(self, kinds: tuple[TierKind, ...]) -> list[EdgewiseError]:
        """An error for each of these kinds that has tiers, but none with the model that the policy asks for."""
        wanted = [kind for kind in kinds if self._model(kind)]
        over = [kind for kind in wanted if self.tiers(kind) and not self._serving(kind)]
        return [_other_model(kind, self._model(kind)) for kind in over]

    def check_grammars(self, state: GenerationState) -> None:
        """Raises TierRejectedError where there are tiers, but none that holds an answer to a grammar, as this one asks.
        An answer that has begun was held to its grammar by somebody, who may come back."""
        found = [tier for kind in self.kinds for tier in self._serving(kind)]
        begun = state.output_ids or state.output_text
        if state.grammar is None or begun or not found or any(tier.capabilities.grammars for tier in found):
            return
        trouble = UnsupportedParameterError(
            f"No {' or '.join(self.kinds)} tier here holds an answer to a grammar",
            where="response_format or edgewise.regex",
            expected="a node with the extra `grammar`",
            remedy="leave it out and ask for the form in words, or name another model",
        )
        raise TierRejectedError(trouble.info())

    def fallback(self, kind: str) -> StepTerms | None:
        """What the policy asks of this kind of tier as a fallback; None where it asks nothing."""
        return fallback_step(self.terms, kind)

    def _serving(self, kind: TierKind) -> list[Tier]:
        wanted = self._model(kind)
        return [tier for tier in self.tiers(kind) if serves(tier.capabilities, wanted)]

    def _model(self, kind: TierKind) -> str:
        return self.terms.edge_model if kind == "edge" else self.terms.cloud_model


def _other_model(kind: TierKind, wanted: str) -> NoTierError:
    return NoTierError(
        f"No {kind} tier has the model {wanted!r}, which the policy asks for",
        where=f"models.{kind} of the decision",
        expected="a tier whose model has that name, or a version within that range at the end of its name",
        remedy="load the model, or change the policy",
    )


def can_serve(tier: Tier, state: GenerationState) -> bool:
    """Whether `tier` speaks the state's tokens (or text), holds it to its grammar, and may continue what has begun.

    A tier with a tokenizer digest works on ids and must share tokenizer and template; one without works on messages.
    """
    capabilities = tier.capabilities
    if (state.output_ids or state.output_text) and not capabilities.continues:
        return False
    if state.grammar is not None and not capabilities.grammars:
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
