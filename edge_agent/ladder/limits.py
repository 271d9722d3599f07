"""Limits: what the runtime may do right now, as one value. Two of them combine to the stricter of each field.

Nothing here measures or decides; the ladders set limits (tables.py), and the runtime obeys them as far as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Final, Literal

KvElementName = Literal["float32", "int8"]


class Accept(StrEnum):
    """Which new work the device takes, from all to none.

    `only-here` is what nobody else may answer (private requests), or can (no cloud in reach).
    """

    ALL = "all"
    ONLY_HERE = "only-here"
    NONE = "none"


class Place(StrEnum):
    """Where a new answer should be made."""

    HERE = "here"
    CLOUD = "cloud"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the runtime obeys. The defaults limit nothing; None is "no limit" or "choose freely".

    speculation: drafting is allowed.
    kv_element: how caches of new contexts are kept, where the graph knows both.
    window_tokens: new contexts are cut to their last so many tokens.
    prefix_share: share of its byte budget that the prefix cache may use.
    keep_idle_kv: contexts that no answer is using may stay in memory.
    loaded: the model may be in memory.
    threads, spinning: of the engine, from the next answer on.
    tokens_per_s: answers are computed no faster, by pausing between steps.
    hand_over: a running answer that may leave goes to the cloud at its next sentence.
    cooling_until_s: no new work before then, on the ladder's clock.
    accept: which new work is taken, and `reason` says to people why not all.
    max_output_tokens: the longest new answer.
    cloud_from_tokens: new answers that may grow so long go to the cloud where they may.
    """

    speculation: bool = True
    kv_element: KvElementName = "float32"
    window_tokens: int | None = None
    prefix_share: float = 1.0
    keep_idle_kv: bool = True
    loaded: bool = True
    threads: int | None = None
    spinning: bool = True
    tokens_per_s: float | None = None
    hand_over: bool = False
    cooling_until_s: float | None = None
    accept: Accept = Accept.ALL
    max_output_tokens: int | None = None
    cloud_from_tokens: int | None = None
    reason: str = ""

    def __and__(self, other: Limits) -> Limits:
        """The stricter of both, field by field; reasons stand side by side."""
        return Limits(**{name: stricter(getattr(self, name), getattr(other, name)) for name, stricter in _STRICTER})

    def is_as_strict_as(self, other: Limits) -> bool:
        """True when this allows nothing that `other` forbids."""
        return replace(self & other, reason=self.reason) == self

    def place(self, *, private: bool, cloud: bool, tokens: int) -> Place:
        """Where to make a new answer of up to `tokens` tokens. `private` must not leave; `cloud` is in reach."""
        only_here = private or not cloud
        if self.accept is Accept.NONE:
            return Place.NOWHERE if only_here else Place.CLOUD
        if only_here:
            return Place.HERE
        long = self.cloud_from_tokens is not None and tokens >= self.cloud_from_tokens
        return Place.CLOUD if long or self.accept is Accept.ONLY_HERE else Place.HERE


def _least(one: float | None, other: float | None) -> float | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _latest(one: float | None, other: float | None) -> float | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _smaller_element(one: KvElementName, other: KvElementName) -> KvElementName:
    return "int8" if "int8" in (one, other) else "float32"


def _narrower(one: Accept, other: Accept) -> Accept:
    return max(one, other, key=tuple(Accept).index)


def _both(one: str, other: str) -> str:
    parts = [*one.split("; "), *other.split("; ")]
    return "; ".join(dict.fromkeys(part for part in parts if part))


_RULES: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "speculation": min,
    "kv_element": _smaller_element,
    "window_tokens": _least,
    "prefix_share": min,
    "keep_idle_kv": min,
    "loaded": min,
    "threads": _least,
    "spinning": min,
    "tokens_per_s": _least,
    "hand_over": max,
    "cooling_until_s": _latest,
    "accept": _narrower,
    "max_output_tokens": _least,
    "cloud_from_tokens": _least,
    "reason": _both,
}
_STRICTER: Final = tuple((each.name, _RULES[each.name]) for each in fields(Limits))
