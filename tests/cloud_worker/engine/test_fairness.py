"""Fairness between tenants under a flood, on a clock of the tokens that the model reads and says (replays included)."""

from __future__ import annotations

import pytest

from benchmarks.report import percentile
from tests.simulators.tenants import Day, arrivals, jain


def test_a_tenant_that_floods_does_not_delay_another() -> None:
    """One asks for a quarter of the engine, the other for ten times that.

    In the first moments neither has been given more than the other, and both are served alike; they are left out.
    """
    alone, beside, refused = list[float](), list[float](), 0
    until, begun = 120_000.0, 15_000.0
    for seed in range(3):
        alone += Day(until).spend(arrivals("quiet", 0.25, until, seed)).first_tokens("quiet", begun)
        both = Day(until).spend([*arrivals("quiet", 0.25, until, seed), *arrivals("flood", 2.5, until, seed)])
        beside += both.first_tokens("quiet", begun)
        refused += both.refused
        unheard = [name for name in both.arrived.keys() - both.first_token.keys() if name.startswith("quiet")]
        assert all(both.arrived[name] > until - 1000 for name in unheard), "only those that came at the very end"
    assert len(beside) >= len(alone) - 3 > 150, "nothing of the quiet one is refused or left"
    assert refused > 100, "a flood it is"
    ratio = percentile(beside, 99) / percentile(alone, 99)
    assert ratio <= 1.3, ratio


@pytest.mark.parametrize(
    "loads", [(1.0, 10.0), (0.7, 0.7, 3.0), (0.4, 1.0, 2.0, 4.0)], ids=lambda loads: f"{len(loads)}"
)
def test_tenants_with_enough_to_do_are_given_the_same(loads: tuple[float, ...]) -> None:
    """Jain's index of what each was given, of requests of different lengths; it is 1/n when one gets everything."""
    until = 60_000.0
    streams = [
        each
        for number, load in enumerate(loads)
        for each in arrivals(f"t{number}", load, until, seed=number, long=1.0 + 0.5 * number)
    ]
    day = Day(until).spend(streams)
    given = [day.given(f"t{number}") for number in range(len(loads))]
    assert sum(given) > 0.8 * until
    assert jain(given) >= 0.95, given


def test_a_better_tier_is_answered_first_and_the_others_still_are() -> None:
    until = 80_000.0
    day = Day(until).spend(
        [*arrivals("gold", 0.3, until, 1, tier=1), *arrivals("plain", 1.2, until, 1)],
    )
    gold, plain = (percentile(day.first_tokens(name), 90) for name in ("gold", "plain"))
    assert gold < plain / 3
    assert len(day.first_tokens("plain")) > 50
