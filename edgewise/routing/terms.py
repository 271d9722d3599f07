"""What a decision's terms mean for the tiers of one answer: which have the wanted model, what a fallback asks, and who
comes first in their queues.

Which tiers there are, and in which order they are asked, is in plan.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Capabilities
from policies import StepTerms, Terms
from policies.language.library.versions import is_version, judge_range, read_version, satisfies

_VERSIONED: Final = re.compile(r"[@:_-]v?([0-9]+\.[0-9]+\.[0-9]+.*)$")
"""What a model's name ends with where it tells a version: `small-2.1.0`, `org/small@2.1.0-rc.1`."""

USER_TIER_RANKS: Final = {"free": -1, "standard": 0, "premium": 1}


def serves(capabilities: Capabilities, wanted: str) -> bool:
    """Whether a tier has the wanted model: by a name, by the id of its version, or by a range of versions.

    An empty wish is for any. Who chooses among tiers of its own is asked in any case: its own policy judges them.
    """
    if not wanted or capabilities.chooses:
        return True
    if wanted in capabilities.models or wanted == capabilities.model_version:
        return True
    return not judge_range(wanted) and any(satisfies(read_version(each), wanted) for each in _versions(capabilities))


def _versions(capabilities: Capabilities) -> Iterator[str]:
    """The semantic versions that a tier tells: its version's id where it is one, and what its names end with."""
    ends = (found[1] for name in capabilities.models if (found := _VERSIONED.search(name)))
    return (text for text in (capabilities.model_version, *ends) if is_version(text))


def rank_of(user_tier: str, terms: Terms) -> int:
    """The rank of an answer in the queues of tiers: what the key's tier counts, and the policy's priority beside it."""
    return USER_TIER_RANKS.get(user_tier, 0) + (terms.priority or 0)


def fallback_step(terms: Terms, kind: str) -> StepTerms | None:
    """What the policy asks of this kind of tier as a fallback (`refuse`: of giving up); None where it asks nothing."""
    return next((step for step in terms.fallback if step.mode == kind), None)


def spoken_by(state: GenerationState, model_version: str) -> GenerationState:
    """The state of an answer that this version goes on with: who takes it up again knows by whom it was said."""
    return msgspec.structs.replace(state, model_version=model_version)


def bounded(state: GenerationState, step: StepTerms | None) -> GenerationState:
    """The state of an answer that this fallback begins: no longer than the step allows."""
    if step is None or step.max_tokens is None or step.max_tokens >= state.max_tokens:
        return state
    return msgspec.structs.replace(state, max_tokens=step.max_tokens)
