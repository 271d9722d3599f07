"""Gates: what they see in measures, when they are breached, and how rarely they are wrongly."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from policies.rollout import Counts, Gate, Measures, Share, Spread
from policies.rollout.counts import LAST_BIN, bin_of, end_of
from policies.rollout.gates import standings
from policies.rollout.limits import read_gate

ALPHA = 0.05


def gate(name: str, text: str) -> Gate:
    found = read_gate(name, text)
    assert found is not None
    return found


def shares(name: str, old: tuple[int, int], new: tuple[int, int]) -> Measures:
    return Measures(Counts({name: Share(*old)}), Counts({name: Share(*new)}))


def spreads(old: Spread, new: Spread) -> Measures:
    return Measures(Counts({}, {"firstToken": old}), Counts({}, {"firstToken": new}))


def flat(around_s: float, count: int) -> Spread:
    """Durations from half to one and a half of `around_s`, evenly."""
    return Spread.of(around_s * (0.5 + at / count) for at in range(count))


ERRORS, RISE = gate("errors", "<= 1%"), gate("errors", "<= +1pp")
GROWTH, LIMIT = gate("p95FirstToken", "<= +5%"), gate("p95FirstToken", "<= 800ms")


@pytest.mark.parametrize(
    ("watched", "measures", "breached"),
    [
        (ERRORS, Measures(), False),
        (ERRORS, shares("errors", (0, 0), (10, 1000)), False),
        (ERRORS, shares("errors", (0, 0), (1, 1)), False),
        (ERRORS, shares("errors", (0, 0), (40, 1000)), True),
        (ERRORS, shares("decisionErrors", (0, 0), (900, 1000)), False),
        (gate("replayUnknown", "== 0"), shares("replayUnknown", (0, 0), (1, 10**9)), True),
        (RISE, shares("errors", (100, 10_000), (19, 1000)), False),
        (RISE, shares("errors", (100, 10_000), (80, 1000)), True),
        (RISE, shares("errors", (800, 10_000), (80, 1000)), False),
        (RISE, shares("errors", (900_000, 10**8), (105, 5000)), False),  # 0.2 points too much, by chance perhaps
        (RISE, shares("errors", (0, 0), (900, 1000)), False),  # nothing to compare with
        (RISE, shares("errors", (10, 1000), (0, 0)), False),
        (GROWTH, spreads(flat(0.3, 4000), flat(0.3, 4000)), False),
        (GROWTH, spreads(flat(0.3, 4000), flat(0.315, 4000)), False),
        (GROWTH, spreads(flat(0.3, 4000), flat(0.39, 4000)), True),
        (GROWTH, spreads(flat(0.3, 4000), flat(0.2, 4000)), False),
        (GROWTH, spreads(Spread(), flat(9.0, 4000)), False),
        (LIMIT, spreads(Spread(), flat(0.5, 4000)), False),
        (LIMIT, spreads(Spread(), flat(0.6, 4000)), True),
        (LIMIT, spreads(Spread(), Spread.of([0.8] * 1000)), False),
        (LIMIT, spreads(Spread(), Spread.of([0.83] * 1000)), True),
        (LIMIT, spreads(flat(0.9, 4000), Spread()), False),
    ],
)
def test_when_a_gate_is_breached(watched: Gate, measures: Measures, breached: bool) -> None:
    (standing,) = standings([watched], measures, ALPHA, run=1)
    assert standing.breached is breached
    assert watched.text in str(standing) and watched.name in str(standing)


@pytest.mark.parametrize("growth", [0.0, 0.02, 0.05, 0.5])
@pytest.mark.parametrize("most", [201, 202, 260])
def test_the_shift_never_tightens_the_limit(growth: float, most: int) -> None:
    """Every new duration is exactly so much longer: the limit is kept, whatever bins they fall into."""
    watched = gate("p95FirstToken", f"<= +{100 * growth:g}%")
    ends = [end_of(bin_) for bin_ in range(200, most)]
    longer, times = [end * (1 + growth) * (1 - 1e-9) for end in ends], 6000 // len(ends)
    measures = spreads(Spread.of(ends * times), Spread.of(longer * times))
    assert watched.log_evidence(measures) < -math.log(ALPHA)


def test_durations_at_either_end_of_the_scale() -> None:
    for bin_ in (0, LAST_BIN):
        same = Spread({bin_: 1000})
        assert GROWTH.log_evidence(spreads(same, same)) < 0.0
    assert GROWTH.log_evidence(spreads(Spread({0: 1000}), Spread({LAST_BIN: 1000}))) > 20.0


def test_the_alarms_of_all_runs_and_gates_share_one_alpha() -> None:
    bounds = [[one.bound for one in standings([ERRORS, RISE], Measures(), ALPHA, run)] for run in range(1, 200)]
    spent = sum(math.exp(-bound) for run in bounds for bound in run)
    assert 0.99 * ALPHA < spent < ALPHA


def test_no_gates_no_standings() -> None:
    assert standings([], Measures(), ALPHA, run=1) == ()


@pytest.mark.parametrize(
    ("watched", "measures", "seen", "found"),
    [
        (ERRORS, shares("errors", (5, 9), (1, 200)), 200, "1 of 200 (0.5 %)"),
        (RISE, shares("errors", (5, 100), (1, 200)), 100, "1 of 200 (0.5 %), before 5 of 100 (5 %)"),
        (LIMIT, spreads(Spread(), Spread({0: 3})), 3, "0.001 s in 3"),
        (GROWTH, spreads(Spread({0: 2}), Spread({0: 3})), 2, "0.001 s in 3, before 0.001 s in 2"),
        (GROWTH, Measures(), 0, "none, before none"),
    ],
)
def test_what_was_measured_is_told(watched: Gate, measures: Measures, seen: int, found: str) -> None:
    assert (watched.seen(measures), watched.found(measures)) == (seen, found)


# ── simulated rollouts, looked at after every batch ─────────────────────────────────────────────────────────────


def share_alarm(draws: random.Random, old: float, new: float, batches: int) -> bool:
    totals = [0, 0]
    for batch in range(1, batches + 1):
        totals[0] += sum(draws.random() < old for _ in range(60))
        totals[1] += sum(draws.random() < new for _ in range(20))
        measures = shares("errors", (totals[0], 60 * batch), (totals[1], 20 * batch))
        if RISE.log_evidence(measures) >= -math.log(ALPHA):
            return True
    return False


def quantile_alarm(draws: random.Random, factor: float, batches: int) -> bool:
    old: Counter[int] = Counter()
    new: Counter[int] = Counter()
    for _ in range(batches):
        old.update(bin_of(draws.lognormvariate(-1.0, 0.3)) for _ in range(100))
        new.update(bin_of(factor * draws.lognormvariate(-1.0, 0.3)) for _ in range(50))
        if GROWTH.log_evidence(spreads(Spread(old), Spread(new))) >= -math.log(ALPHA):
            return True
    return False


def test_false_alarms_of_a_rise_stay_below_alpha() -> None:
    draws = random.Random(11)
    assert sum(share_alarm(draws, 0.05, 0.06, 40) for _ in range(60)) <= 3 + 3


def test_a_real_rise_is_caught() -> None:
    draws = random.Random(12)
    assert sum(share_alarm(draws, 0.05, 0.2, 60) for _ in range(10)) == 10


def test_false_alarms_of_a_quantile_stay_below_alpha() -> None:
    draws = random.Random(13)
    assert sum(quantile_alarm(draws, 1.05, 20) for _ in range(40)) <= 2 + 3


def test_a_real_growth_of_a_quantile_is_caught() -> None:
    draws = random.Random(14)
    assert sum(quantile_alarm(draws, 1.4, 40) for _ in range(6)) == 6
