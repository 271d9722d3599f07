"""Which policy decides for a key while a rollout is under way: always the same one, and growing shares keep keys."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policies.language.library.buckets import STEPS_PER_PERCENT, place
from policies.rollout.plan import RolloutPlan, Stage, StageMode
from policies.rollout.states import Done, OnHold, RolledBack, RolloutState, Running

PURPOSE: Final = "edgewise/policy-rollout/v1"
"""Other than that of `bucket()` in rules: a share of keys within a rollout is not the same share within a rule."""


class Because(StrEnum):
    """Why a key has the policy it has. The values are the words of records and of the wire."""

    NOT_BEGUN = "not-begun"
    ROLLED_BACK = "rolled-back"
    DONE = "done"
    NO_KEY = "no-key"
    IN_SHARE = "in-share"
    OUTSIDE_SHARE = "outside-share"


@dataclass(frozen=True, slots=True)
class Applied:
    """candidate: it decides; else the old policy does. shadow: the candidate is asked too, and only compared."""

    candidate: bool
    shadow: bool
    because: Because


def applied(plan: RolloutPlan, state: RolloutState, key: str | None) -> Applied:
    """Which policy decides for a key.

    A missing or empty key has the old policy until the rollout is done, even at 100 %; shadow at 100 % sees it too.
    """
    match state.position:
        case Running(stage) | OnHold(stage):
            return _in_stage(plan.stages[stage], plan.salt, key)
        case Done():
            return Applied(candidate=True, shadow=False, because=Because.DONE)
        case RolledBack():
            return Applied(candidate=False, shadow=False, because=Because.ROLLED_BACK)
        case _:
            return Applied(candidate=False, shadow=False, because=Because.NOT_BEGUN)


def in_share(salt: str, key: str, percent: float) -> bool:
    """Whether a key is among the first so many percent; each share holds all smaller ones."""
    return place(PURPOSE, salt, key) < round(percent * STEPS_PER_PERCENT)


def _in_stage(stage: Stage, salt: str, key: str | None) -> Applied:
    shadow = stage.mode is StageMode.SHADOW
    if not key:
        return Applied(candidate=False, shadow=shadow and stage.percent >= 100.0, because=Because.NO_KEY)
    inside = in_share(salt, key, stage.percent)
    because = Because.IN_SHARE if inside else Because.OUTSIDE_SHARE
    return Applied(candidate=inside and not shadow, shadow=inside and shadow, because=because)
