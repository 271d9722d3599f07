"""The ladder in a closed loop with simulated devices: it keeps them cool and alive, and lets them go again."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from edge_agent.ladder import Limits
from tests.simulators.device_days import Day, requests, spend
from tests.simulators.devices import PROFILES, STRESSES, Body, Others, Profile, speed, stalled_pct, under

LADDERS = ("memory", "heat", "battery", "contention")
HOURLY = [
    pytest.param(device, id=f"{profile.name}-{stress}".replace(" ", "-"))
    for profile in PROFILES
    for stress in STRESSES
    if (device := under(profile, stress)) is not None
]


def profile_of(name: str) -> Profile:
    return next(each for each in PROFILES if each.name == name)


def assert_kept(day: Day) -> None:
    """Never at the throttle temperature, never killed, and no ladder switched more often than it promises."""
    assert (day.hot_seconds, day.kills) == (0, 0)
    assert max(day.most_switches(ladder, urgent=False) for ladder in LADDERS) <= 2
    assert max(day.most_switches(ladder, urgent=True) for ladder in LADDERS) <= 2


@pytest.mark.parametrize("device", HOURLY)
def test_a_quarter_of_an_hour_of_every_device_under_every_stress(device: Profile) -> None:
    assert_kept(spend(device, seconds=900, seed=7, ladder=True))


@pytest.mark.soak
@pytest.mark.parametrize("device", HOURLY)
def test_an_hour_of_every_device_under_every_stress(device: Profile) -> None:
    for seed in (7, 8):
        assert_kept(spend(device, seconds=3600, seed=seed, ladder=True))


def test_without_the_ladder_the_same_hours_go_wrong() -> None:
    hot = under(profile_of("low phone"), "hot room")
    full = under(profile_of("4 GB phone"), "memory hog")
    assert hot is not None and spend(hot, seconds=1500, seed=7, ladder=False).hot_seconds > 300
    assert full is not None and spend(full, seconds=900, seed=7, ladder=False).kills > 10


def test_an_empty_battery_ends_it_all_and_the_ladder_puts_that_off() -> None:
    laptop = under(profile_of("laptop"), "low battery")
    assert laptop is not None
    laptop = replace(laptop, battery_pct=12.0)
    with_, without = (spend(laptop, seconds=2400, seed=7, ladder=ladder) for ladder in (True, False))
    assert without.seconds[-1].battery_pct == 0.0 and without.refused > 50
    assert with_.seconds[-1].battery_pct and with_.refused == 0


def test_a_device_that_cools_down_is_as_fast_again() -> None:
    """The first request of a cooled device is answered at full speed: every step of the ladder was taken back."""
    phone = replace(profile_of("Pi"), ambient_c=40.0, gap_s=6.0)
    warm = spend(phone, seconds=1200, seed=3, ladder=True)
    assert warm.seconds[-1].rungs["heat"] != "cool"
    rested = spend(replace(phone, gap_s=1e9), seconds=1200, seed=3, ladder=True)
    assert rested.seconds[-1].rungs["heat"] == "cool"


def test_a_day_is_the_same_twice_and_people_do_not_know_of_the_ladder() -> None:
    phone = profile_of("low phone")
    assert spend(phone, seconds=300, seed=5, ladder=True) == spend(phone, seconds=300, seed=5, ladder=True)
    asked = [(each.at_s, each.prompt, each.tokens) for each in requests(phone, 300, random.Random(5))]
    for ladder in (True, False):
        day = spend(phone, seconds=300, seed=5, ladder=ladder)
        ended = day.answered + day.refused + day.lost
        assert len(asked) - 4 <= ended <= len(asked)


def test_private_requests_stay_and_without_a_cloud_nothing_is_sent() -> None:
    watch = under(profile_of("watch"), "low battery")
    assert watch is not None
    day = spend(watch, seconds=900, seed=7, ladder=True, cloud=False)
    assert day.sent == day.moved == 0 and day.served > 0


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name.replace(" ", "-"))
def test_physics_are_those_of_a_circuit_a_battery_and_a_queue_for_cores(profile: Profile) -> None:
    body, seconds = Body(profile), 20_000
    for _ in range(seconds):
        body.step(0.0, 0.0, radio=False)
    assert body.temperature_c == pytest.approx(profile.ambient_c + profile.idle_w * profile.kelvin_per_w)
    if profile.battery_wh is not None:
        drawn_pct = seconds * profile.idle_w / (profile.battery_wh * 36)
        assert body.battery_pct == pytest.approx(max(0.0, profile.battery_pct - drawn_pct))
    for _ in range(seconds):
        body.step(float(profile.cores), 0.0, radio=True)
    assert body.throttled or body.temperature_c < profile.throttle_c


def test_speed_is_lost_to_others_most_by_threads_that_spin() -> None:
    watch = profile_of("watch")

    def measured(threads: int, spinning: bool, others: float, throttled: bool = False) -> float:
        return speed(watch, threads=threads, spinning=spinning, speculation=False, others=others, throttled=throttled)

    assert measured(2, True, 0.0) > measured(2, False, 0.0) > measured(1, False, 0.0)
    assert measured(2, True, 2.0) < measured(1, False, 2.0) and measured(2, True, 2.0) < measured(2, False, 2.0)
    assert measured(1, False, 0.0, throttled=True) < measured(1, False, 0.0)


def test_stalls_begin_where_memory_ends() -> None:
    pi = profile_of("Pi")
    assert stalled_pct(pi, pi.memory_bytes) == 0.0 and stalled_pct(pi, -5) == 100.0


def test_others_do_the_same_whatever_we_do() -> None:
    first, second = (Others(PROFILES[0], random.Random(1)) for _ in range(2))
    for _ in range(500):
        first.step()
        second.step()
        assert (first.cores, first.bytes) == (second.cores, second.bytes)
        assert 0.0 <= first.cores <= PROFILES[0].cores


def test_no_ladder_is_no_limit() -> None:
    assert Limits().is_as_strict_as(Limits())
    assert spend(PROFILES[0], seconds=5, seed=1, ladder=False).changes == []
