"""A crowd of prompts that arrive at once: what is asked of every cloud engine, and how what it does is timed.

Engines tell of tokens as they come; `Crowd` keeps when. Who is asked is in cloud_peers.py, what comes of it in
cloud.py. The standard library alone: peers import it in environments of their own.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from typing import Any, Final

SHORTEST, LONGEST = 32, 127
"""Prompt tokens; mixed lengths, as ../shared's peers were measured with."""
ANSWER_TOKENS: Final = 64
_IDS: Final = range(3, 2000)
"""Ids that every vocabulary has."""


def prompts(count: int, seed: int, shared: int = 0) -> list[list[int]]:
    """Token ids drawn by `seed`; with `shared`, all begin with the same so many tokens. No two seeds share a start."""
    source = random.Random(f"{count} {seed} {shared}")
    beginning = [source.choice(_IDS) for _ in range(shared)]
    return [beginning + [source.choice(_IDS) for _ in range(source.randint(SHORTEST, LONGEST))] for _ in range(count)]


def repeating(count: int, seed: int) -> list[list[int]]:
    """Prompts of a few ids said over and over: greedy answers of random weights fall into loops after them."""
    source = random.Random(f"repeating {count} {seed}")
    return [[source.choice(_IDS) for _ in range(8)] * 8 for _ in range(count)]


class Crowd:
    """When the tokens of each prompt came, in seconds since all of them arrived."""

    def __init__(self, count: int) -> None:
        self._began = time.perf_counter()
        self._times: list[list[float]] = [[] for _ in range(count)]

    def said(self, number: int, tokens: int = 1) -> None:
        """The prompt `number` got so many tokens just now."""
        self._times[number] += [time.perf_counter() - self._began] * tokens

    def has(self, number: int) -> int:
        """Tokens that the prompt `number` has."""
        return len(self._times[number])

    def told(self, *, timed: bool = True) -> dict[str, Any]:
        """Tokens and seconds in all; where tokens were told one by one, the first of each prompt and all gaps."""
        tokens = sum(len(times) for times in self._times)
        found: dict[str, Any] = {"tokens": tokens, "seconds": time.perf_counter() - self._began}
        if timed:
            found["first_s"] = [times[0] for times in self._times if times]
            found["gap_s"] = [later - earlier for times in self._times for earlier, later in itertools.pairwise(times)]
        return found


def lengths(ids: Sequence[Sequence[int]]) -> int:
    """Prompt tokens in all."""
    return sum(len(each) for each in ids)
