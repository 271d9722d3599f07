"""Decode speed of two graphs in turns, so that a busy neighbour slows both: tokens per second on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from cloud_worker.forge.quantize.decoder import GraphDecoder

PROMPT_TOKENS = 16
STEPS = 96
ROUNDS = 5


def in_turns(
    first: GraphDecoder, second: GraphDecoder, clock: Callable[[], float] = time.perf_counter, rounds: int = ROUNDS
) -> tuple[float, float]:
    """Median tokens/s of both over `rounds` rounds of STEPS single-token steps, after one round that is not counted."""
    taken: tuple[list[float], list[float]] = ([], [])
    for round_ in range(rounds + 1):
        for decoder, kept in zip((first, second), taken, strict=True):
            spent = _steps(decoder, clock)
            if round_:
                kept.append(spent)
    return median(taken[0]), median(taken[1])


def _steps(decoder: GraphDecoder, clock: Callable[[], float]) -> float:
    decoder.rewind()
    decoder.forward([1] * PROMPT_TOKENS)
    steps = min(STEPS, decoder.capacity - PROMPT_TOKENS)
    started = clock()
    for _ in range(steps):
        decoder.forward((1,))
    return steps / max(clock() - started, 1e-9)
