"""Semantic versions (semver.org 2.0.0) and ranges of them. Their order is in comparison.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from policies.language.functions import Overload
from policies.language.library.bounds import reading
from policies.language.types import BOOL, INT, STRING, VERSION
from policies.language.values import EvaluationError, Value, Version

MAX_LENGTH: Final = 256
_NUMBER: Final = r"(0|[1-9][0-9]{0,17})"
"""At most 18 digits, so that each number is an int of the language."""
_PART: Final = r"(?:0|[1-9][0-9]{0,17}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PART}(?:\.{_PART})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_BOUND: Final = re.compile(rf"(>=|<=|>|<|=|){_NUMBER}(?:\.{_NUMBER})?")
_SIGNS: Final = re.compile(r"(>=|<=|>|<|=|)(.+)")
_RELEASE: Final = 1
"""Stands behind the three numbers of a release; a pre-release has 0 there, and so comes before it."""


def read_version(text: str) -> Version:
    """The version of a text. Build metadata has no say in the order, and is dropped. Raises EvaluationError."""
    found = _VERSION.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if found is None:
        raise EvaluationError("this is no semantic version such as 1.4.0 or 2.0.0-rc.1")
    numbers = (int(found[1]), int(found[2]), int(found[3]))
    if found[4] is None:
        return Version((*numbers, _RELEASE), text.partition("+")[0])
    return Version((*numbers, 0, *map(_ranked, found[4].split("."))), text.partition("+")[0])


def _ranked(part: str) -> tuple[int, int, str]:
    """Numbers by their value come before words by their letters."""
    return (0, int(part), "") if part.isdecimal() else (1, 0, part)


def is_version(text: str) -> bool:
    """Whether a text is a semantic version."""
    return len(text) <= MAX_LENGTH and _VERSION.fullmatch(text) is not None


# ── ranges ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Bound:
    """One condition of a range. `rank`: a whole version's, or the numbers that were written."""

    sign: str
    rank: tuple[Any, ...]

    def holds(self, version: Version) -> bool:
        """Of a version that is not written out, the numbers that are decide; a lower bound leaves out pre-releases."""
        cut = version.rank if len(self.rank) > 2 else version.rank[: len(self.rank)]
        match self.sign:
            case "<":
                return cut < self.rank
            case "<=":
                return cut <= self.rank
            case ">":
                return cut > self.rank
            case ">=":
                return version.rank >= self._lowest()
            case _:
                return cut == self.rank and version.rank >= self._lowest()

    def _lowest(self) -> tuple[Any, ...]:
        return self.rank if len(self.rank) > 2 else (*self.rank, *[0] * (3 - len(self.rank)), _RELEASE)


@lru_cache(maxsize=256)
def read_range(text: str) -> tuple[Bound, ...]:
    """The bounds of a range such as `>=2.1 <3`, all of which must hold. Raises EvaluationError."""
    words = text.split() if len(text) <= MAX_LENGTH else []
    if not words:
        raise EvaluationError("this is no range of versions such as >=2.1 <3")
    return tuple(map(_bound, words))


def _bound(word: str) -> Bound:
    found = _BOUND.fullmatch(word)
    if found is not None:
        return Bound(found[1], tuple(int(number) for number in found.group(2, 3) if number is not None))
    signed = _SIGNS.fullmatch(word)
    if signed is None or not is_version(signed[2]):
        raise EvaluationError("this is no range of versions such as >=2.1 <3")
    return Bound(signed[1], read_version(signed[2]).rank)


def judge_range(text: Value) -> str:
    """What is wrong with a range, or nothing."""
    try:
        read_range(text)
    except EvaluationError as error:
        return str(error)
    return ""


def satisfies(version: Version, text: str) -> bool:
    """Whether a version is within a range. Raises EvaluationError for a text that is no range."""
    return all(bound.holds(version) for bound in read_range(text))


def _number(place: int) -> Callable[[Version], int]:
    return lambda version: int(version.rank[place])


OVERLOADS: Final = (
    Overload("version", "version", (STRING,), VERSION, read_version, fallible=True, work=reading),
    Overload("same_version", "version", (VERSION,), VERSION, lambda version: version),
    Overload("is_version", "isVersion", (STRING,), BOOL, is_version, work=reading),
    Overload("major", "major", (VERSION,), INT, _number(0), method=True),
    Overload("minor", "minor", (VERSION,), INT, _number(1), method=True),
    Overload("patch", "patch", (VERSION,), INT, _number(2), method=True),
    Overload(
        "satisfies",
        "satisfies",
        (VERSION, STRING),
        BOOL,
        satisfies,
        fallible=True,
        work=reading,
        constant=(1,),
        judge=judge_range,
    ),
)
