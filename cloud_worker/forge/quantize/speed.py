"""Decode speed of two graphs in turns, so that a busy neighbour slows both: tokens per second on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from edgewise.graphs import CacheRow

PROMPT_TOKENS = 16
STEPS = 96
ROUNDS = 15


def in_turns(
    first: CacheRow, second: CacheRow, clock: Callable[[], float] = time.thread_time, rounds: int = ROUNDS
) -> tuple[float, float]:
    """Median tokens/s of the first, and the median of its ratio to the second in the same round: a machine that is
    faster at one time than at another changes the first figure and not the ratio.

    A round is STEPS single-token steps of each, in processor time; one round before them is not counted.
    """
    speeds: list[float] = []
    ratios: list[float] = []
    for round_ in range(rounds + 1):
        ours, theirs = _steps(first, clock), _steps(second, clock)
        if round_:
            speeds.append(ours)
            ratios.append(ours / theirs)
    return median(speeds), median(ratios)


def _steps(decoder: CacheRow, clock: Callable[[], float]) -> float:
    decoder.rewind(0)
    decoder.forward([1] * PROMPT_TOKENS)
    steps = min(STEPS, decoder.capacity - PROMPT_TOKENS)
    started = clock()
    for _ in range(steps):
        decoder.forward((1,))
    return steps / max(clock() - started, 1e-9)
