"""Limits: the stricter of two, field by field, is a meet; and where a new answer is made under them."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.ladder.limits import Accept, Limits, Place

COUNTS = st.none() | st.integers(1, 4096)
LIMITS = st.builds(
    Limits,
    speculation=st.booleans(),
    kv_element=st.sampled_from(["float32", "int8"]),
    window_tokens=COUNTS,
    prefix_share=st.sampled_from([0.0, 0.5, 1.0]),
    keep_idle_kv=st.booleans(),
    loaded=st.booleans(),
    threads=COUNTS,
    spinning=st.booleans(),
    tokens_per_s=st.none() | st.floats(1, 100),
    hand_over=st.booleans(),
    cooling_until_s=st.none() | st.floats(0, 1e6),
    accept=st.sampled_from(list(Accept)),
    max_output_tokens=COUNTS,
    cloud_from_tokens=COUNTS,
)


@given(LIMITS, LIMITS, LIMITS)
def test_both_together_are_as_strict_as_each_in_any_order(one: Limits, other: Limits, third: Limits) -> None:
    both = one & other
    assert both == other & one and both & both == both
    assert both.is_as_strict_as(one) and both.is_as_strict_as(other)
    assert (one & other) & third == one & (other & third)


@given(LIMITS)
def test_the_defaults_limit_nothing(limits: Limits) -> None:
    assert limits & Limits() == limits and limits.is_as_strict_as(Limits())


@given(LIMITS, st.sampled_from([each.name for each in fields(Limits) if each.name != "reason"]))
def test_no_field_is_forgotten_when_limits_meet(limits: Limits, name: str) -> None:
    assert getattr(Limits() & limits, name) == getattr(limits, name)


def test_reasons_stand_side_by_side_once() -> None:
    hot, low = Limits(reason="too hot"), Limits(reason="low battery")
    assert (hot & low & hot).reason == "too hot; low battery"
    assert hot.is_as_strict_as(low)


@pytest.mark.parametrize(
    ("limits", "private", "cloud", "tokens", "place"),
    [
        (Limits(), False, True, 4096, Place.HERE),
        (Limits(cloud_from_tokens=256), False, True, 256, Place.CLOUD),
        (Limits(cloud_from_tokens=256), False, True, 255, Place.HERE),
        (Limits(cloud_from_tokens=256), True, True, 4096, Place.HERE),
        (Limits(cloud_from_tokens=256), False, False, 4096, Place.HERE),
        (Limits(accept=Accept.ONLY_HERE), False, True, 1, Place.CLOUD),
        (Limits(accept=Accept.ONLY_HERE), True, True, 1, Place.HERE),
        (Limits(accept=Accept.ONLY_HERE), False, False, 1, Place.HERE),
        (Limits(accept=Accept.NONE), False, True, 1, Place.CLOUD),
        (Limits(accept=Accept.NONE), True, True, 1, Place.NOWHERE),
        (Limits(accept=Accept.NONE), False, False, 1, Place.NOWHERE),
    ],
)
def test_where_an_answer_is_made(limits: Limits, private: bool, cloud: bool, tokens: int, place: Place) -> None:
    assert limits.place(private=private, cloud=cloud, tokens=tokens) is place


@given(LIMITS, st.booleans(), st.integers(1, 4096))
def test_nothing_private_is_ever_sent_away(limits: Limits, cloud: bool, tokens: int) -> None:
    assert limits.place(private=True, cloud=cloud, tokens=tokens) is not Place.CLOUD
    assert replace(limits, accept=Accept.ALL).place(private=True, cloud=cloud, tokens=tokens) is Place.HERE
