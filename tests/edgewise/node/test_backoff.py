"""When a node dials again: at once, then wider and wider at random, never over the cap, reset by stability only."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from edgewise.node.backoff import Backoff, BackoffConfig

CONFIG = BackoffConfig(first_s=0.25, base_s=0.5, cap_s=30.0, slow_s=60.0, stable_s=30.0)


class Highest(random.Random):
    """A random source that always draws the upper end: shows the ceiling."""

    def uniform(self, a: float, b: float) -> float:
        return b


def ceilings(count: int) -> list[float]:
    backoff = Backoff(Highest(), CONFIG)
    return [backoff.lost(float(n)) for n in range(count)]


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    assert ceilings(10) == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_short_session_does_not_reset_the_growth() -> None:
    backoff = Backoff(Highest(), CONFIG)
    for _ in range(3):
        backoff.lost(0.0)
    backoff.welcomed(10.0)
    assert backoff.lost(39.9) == 2.0


def test_a_stable_session_resets_the_growth() -> None:
    backoff = Backoff(Highest(), CONFIG)
    for _ in range(5):
        backoff.lost(0.0)
    backoff.welcomed(10.0)
    assert backoff.lost(40.0) == 0.25


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_every_delay_is_within_its_bounds(seed: int, tries: int) -> None:
    backoff = Backoff(random.Random(seed), CONFIG)
    delays = [backoff.lost(0.0) for _ in range(tries)]
    assert all(0.0 <= delay <= ceiling for delay, ceiling in zip(delays, ceilings(tries), strict=True))
    assert 30.0 <= backoff.slow() <= 60.0


def test_nodes_do_not_come_back_as_one_wave() -> None:
    """Full jitter: of 1000 nodes on their fifth try, no tenth of the window gets more than 15 %."""
    waves = [Backoff(random.Random(seed), CONFIG) for seed in range(1000)]
    delays = [[backoff.lost(0.0) for _ in range(5)][-1] for backoff in waves]
    for tenth in range(10):
        assert sum(tenth * 0.4 <= delay < (tenth + 1) * 0.4 for delay in delays) <= 150
