"""`matches`: whether a regular expression (RE2) is found anywhere in a string."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Final

from policies.language.functions import Overload
from policies.language.regex import Pattern, PatternError, compile
from policies.language.types import BOOL, STRING
from policies.language.values import EvaluationError, Value

_KEPT: Final = 128
_READ_AT_ONCE: Final = 64


@lru_cache(maxsize=_KEPT)
def compiled(pattern: str) -> Pattern:
    """The compiled pattern, kept for the next time. Raises EvaluationError, which says where and what to write."""
    try:
        return compile(pattern)
    except PatternError as error:
        raise EvaluationError(f"a bad pattern, at character {error.offset + 1}: {error.message}") from None


def matches(text: str, pattern: str) -> bool:
    """Whether the pattern is found anywhere in the text. Raises EvaluationError for a bad pattern."""
    return compiled(pattern).search(text)


def judge_pattern(pattern: Value) -> str:
    """What is wrong with a pattern, or an empty string."""
    try:
        compiled(pattern)
    except EvaluationError as error:
        return str(error)
    return ""


def _work(sizes: Sequence[int]) -> int:
    """Every character of the text may meet every instruction, of which a pattern has about one for each character."""
    text, pattern = sizes
    return (1 + text // _READ_AT_ONCE) * (1 + pattern)


_matching: Final = partial(
    Overload,
    name="matches",
    params=(STRING, STRING),
    result=BOOL,
    run=matches,
    fallible=True,
    work=_work,
    constant=(1,),
    judge=judge_pattern,
    prepare=lambda pattern: compiled(pattern).search,
    weight=lambda pattern: compiled(pattern).size,
)

OVERLOADS: Final = (_matching("matches"), _matching("matches_method", method=True))
