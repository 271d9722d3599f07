"""The evidence: never more than it may be where the limit is kept, and enough where it is not."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.rollout.evidence import log_above, log_below, log_mean, log_split

_PROBABILITIES = st.floats(0.0, 1.0)


def expected(limit: float, probability: float, hits: int, of: int) -> float:
    """The mean of the e-process after one more event, given what it was before."""
    hit, miss = math.exp(log_above(hits + 1, of + 1, limit)), math.exp(log_above(hits, of + 1, limit))
    return probability * hit + (1 - probability) * miss


@given(st.floats(0.001, 1.0), _PROBABILITIES, st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_no_event_that_keeps_the_limit_is_a_winning_bet(limit: float, part: float, hits: int, misses: int) -> None:
    before = math.exp(log_above(hits, hits + misses, limit))
    assert expected(limit, limit * part, hits, hits + misses) <= before * (1 + 1e-9)


def test_it_begins_at_one_and_the_mean_stays_there_at_the_limit() -> None:
    assert log_above(0, 0, 0.3) == pytest.approx(0.0, abs=1e-12)
    for of in range(1, 9):
        mean = sum(
            0.3 ** sum(events) * 0.7 ** (of - sum(events)) * math.exp(log_above(sum(events), of, 0.3))
            for events in itertools.product((0, 1), repeat=of)
        )
        assert mean == pytest.approx(1.0)


def test_one_hit_refutes_a_limit_of_zero() -> None:
    assert log_above(1, 10**9, 0.0) == math.inf
    assert log_above(0, 10**9, 0.0) == 0.0
    assert log_above(5, 5, 1.0) <= 1e-9


@given(st.integers(0, 2**53), st.integers(0, 2**53), _PROBABILITIES)
@settings(max_examples=60, deadline=None)
def test_huge_counts_give_a_number(hits: int, misses: int, limit: float) -> None:
    assert not math.isnan(log_above(hits, hits + misses, limit))
    assert not math.isnan(log_below(hits, hits + misses, limit))


def test_below_mirrors_above() -> None:
    assert log_below(3, 10, 0.25) == log_above(7, 10, 0.75)


def test_the_mean_of_nothing_and_of_everything() -> None:
    assert log_mean([], 5) == -math.inf
    assert log_mean([math.inf, 0.0], 2) == math.inf
    assert log_mean([0.0, 0.0], 4) == pytest.approx(math.log(0.5))
    assert log_mean([1000.0, 1000.0], 2) == pytest.approx(1000.0)


def test_a_split_takes_the_weaker_side_of_each_cut() -> None:
    assert log_split([(9.0, 1.0), (2.0, 7.0)], 2) == pytest.approx(math.log((math.exp(1.0) + math.exp(2.0)) / 2))


def _first_alarm(draws: random.Random, probability: float, limit: float, alpha: float, most: int) -> int:
    """After how many events the evidence reaches 1/alpha, looked at after each; 0 for never."""
    hits = 0
    for of in range(1, most + 1):
        hits += draws.random() < probability
        if log_above(hits, of, limit) >= -math.log(alpha):
            return of
    return 0


def test_looking_after_every_event_keeps_the_false_alarms_below_alpha() -> None:
    draws = random.Random(5)
    alarms = sum(_first_alarm(draws, 0.1, 0.1, 0.1, 300) > 0 for _ in range(150))
    assert alarms <= 15 + 2 * math.sqrt(150 * 0.1 * 0.9)  # alpha and two deviations


def test_looking_at_a_fixed_test_that_often_would_not() -> None:
    """The control: a test for one look, at the same level, raises far more false alarms than this one may."""
    draws, alarms = random.Random(5), 0
    for _ in range(150):
        hits, peeked = 0, False
        for of in range(1, 301):
            hits += draws.random() < 0.1
            peeked |= of >= 30 and (hits - 0.1 * of) / math.sqrt(of * 0.09) >= 1.2816
        alarms += peeked
    assert alarms > 40


@pytest.mark.parametrize(("probability", "within"), [(0.2, 400), (0.3, 130), (0.6, 40)])
def test_a_real_excess_is_caught(probability: float, within: int) -> None:
    draws = random.Random(7)
    alarms = [_first_alarm(draws, probability, 0.1, 0.01, 600) for _ in range(15)]
    assert all(alarms) and sorted(alarms)[7] <= within
