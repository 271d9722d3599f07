"""The four ladders together: what each does under its own stress, unknown facts, and any facts at all."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.ladder import Accept, Ladder, LadderFacts, LadderSettings, Limits, Standing

GIB = 1 << 30
HEALTHY = LadderFacts(
    memory_total_bytes=4 * GIB,
    memory_available_bytes=2 * GIB,
    memory_some_pct=0.0,
    memory_full_pct=0.0,
    cpu_temp_c=45.0,
    throttled=False,
    battery_pct=80.0,
    charging=False,
    cores=4,
    others_cores=0.1,
)
NUMBERS = st.none() | st.floats(allow_nan=True) | st.floats(-10, 110)
BYTES = st.none() | st.integers(0, 16 * GIB)
ANY_FACTS = st.builds(
    LadderFacts,
    memory_total_bytes=BYTES,
    memory_available_bytes=BYTES,
    memory_some_pct=NUMBERS,
    memory_full_pct=NUMBERS,
    growth_bytes=st.integers(0, 16 * GIB),
    freed_bytes=st.integers(0, 16 * GIB),
    cpu_temp_c=NUMBERS,
    throttled=st.none() | st.booleans(),
    battery_pct=NUMBERS,
    charging=st.none() | st.booleans(),
    cores=st.none() | st.integers(0, 64),
    others_cores=NUMBERS,
)


def stand(facts: Iterable[LadderFacts], ladder: Ladder | None = None, start_s: float = 0.0) -> list[Standing]:
    ladder = ladder or Ladder()
    return [ladder.step(each, start_s + second) for second, each in enumerate(facts)]


def last(facts: LadderFacts, seconds: int = 5, **changed: float | bool | None) -> Standing:
    return stand([replace(facts, **changed)] * seconds)[-1]  # type: ignore[arg-type]


def test_a_healthy_device_starts_with_one_quiet_thread_and_is_free_when_it_proves_idle() -> None:
    seen = stand([HEALTHY] * 700, Ladder(LadderSettings(cores=4)))
    assert seen[0].rungs == {"memory": "free", "heat": "cool", "battery": "full", "contention": "one-thread"}
    assert seen[0].limits == Limits(threads=1, spinning=False)
    assert seen[-1].limits == Limits()
    assert [change.after for each in seen for change in each.changes] == ["half", "idle"]


def test_unknown_facts_move_no_ladder() -> None:
    seen = stand([LadderFacts()] * 2000)
    assert seen[-1].rungs == seen[0].rungs and not any(each.changes for each in seen)
    assert seen[-1].limits == Limits(threads=1, spinning=False)


@pytest.mark.parametrize(
    "name", [each.name for each in fields(LadderFacts) if each.name not in {"growth_bytes", "freed_bytes"}]
)
def test_losing_a_sensor_under_stress_moves_nothing(name: str) -> None:
    bad = replace(
        HEALTHY, memory_available_bytes=GIB // 16, cpu_temp_c=90.0, throttled=True, battery_pct=5.0, others_cores=3.0
    )
    ladder = Ladder()
    stressed = stand([bad] * 90, ladder)[-1]
    blind = replace(bad, **{name: None})  # type: ignore[arg-type]
    seen = stand([blind] * 900, ladder, start_s=90.0)
    assert seen[-1].rungs == stressed.rungs


@pytest.mark.parametrize(
    ("spare", "rung", "limits"),
    [
        (0.13, "free", Limits()),
        (0.115, "no-speculation", Limits(speculation=False)),
        (0.095, "int8-kv", Limits(speculation=False, kv_element="int8")),
        (0.075, "short-window", Limits(speculation=False, kv_element="int8", window_tokens=1024)),
        (0.055, "no-prefixes", Limits(speculation=False, kv_element="int8", window_tokens=1024, prefix_share=0.0)),
    ],
)
def test_memory_goes_from_cheap_measures_to_dear_ones(spare: float, rung: str, limits: Limits) -> None:
    standing = last(HEALTHY, memory_available_bytes=int(spare * 4 * GIB))
    assert standing.rungs["memory"] == rung
    assert standing.limits == limits & Limits(threads=1, spinning=False)


def test_the_last_measures_drop_idle_contexts_and_the_model() -> None:
    assert not last(HEALTHY, memory_available_bytes=int(0.035 * 4 * GIB)).limits.keep_idle_kv
    unloaded = last(HEALTHY, memory_available_bytes=int(0.02 * 4 * GIB)).limits
    assert not unloaded.loaded and unloaded.hand_over and unloaded.accept is Accept.NONE
    assert unloaded.reason == "the device is short of memory"


def test_what_answers_may_still_take_counts_as_taken() -> None:
    assert last(HEALTHY, growth_bytes=int(0.45 * 4 * GIB)).rungs["memory"] == "no-prefixes"


def test_the_model_comes_back_only_where_there_is_room_for_it() -> None:
    ladder = Ladder()
    stand([replace(HEALTHY, memory_available_bytes=GIB // 16)] * 5, ladder)
    roomy = replace(HEALTHY, memory_available_bytes=GIB, freed_bytes=GIB)
    assert stand([roomy] * 2000, ladder, 5.0)[-1].rungs["memory"] == "unloaded"
    free = stand([replace(roomy, memory_available_bytes=2 * GIB)] * 2000, ladder, 2005.0)
    assert free[-1].rungs["memory"] == "free" and free[-1].limits.loaded


def test_stalls_count_where_bytes_look_fine() -> None:
    assert last(HEALTHY, memory_some_pct=30.0).rungs["memory"] == "no-prefixes"
    assert last(HEALTHY, memory_full_pct=40.0).rungs["memory"] == "unloaded"


def test_a_machine_with_much_memory_is_judged_by_bytes() -> None:
    big = replace(HEALTHY, memory_total_bytes=256 * GIB, memory_available_bytes=2 * GIB)
    assert last(big).rungs["memory"] == "free"


def test_falling_memory_is_seen_before_it_is_gone() -> None:
    falling = [replace(HEALTHY, memory_available_bytes=int(2 * GIB - second * 0.02 * GIB)) for second in range(90)]
    levels = [each.rungs["memory"] for each in stand(falling)]
    first = next(second for second, rung in enumerate(levels) if rung != "free")
    assert falling[first].memory_available_bytes > 0.13 * 4 * GIB  # type: ignore[operator]


def heating(start_c: float, per_s: float, seconds: int) -> list[LadderFacts]:
    return [replace(HEALTHY, cpu_temp_c=start_c + per_s * second) for second in range(seconds)]


def test_heat_is_met_before_the_throttle_temperature_by_its_slope() -> None:
    seen = stand(heating(60.0, 0.2, 150))
    first = next(second for second, each in enumerate(seen) if each.rungs["heat"] != "cool")
    assert 60.0 + 0.2 * first < 77.0 and seen[first].limits.tokens_per_s == 12.0
    assert "throttling in" in seen[first].changes[-1].why
    assert seen[-1].limits.accept is Accept.NONE and seen[-1].limits.cooling_until_s is not None


def test_a_sensor_of_whole_degrees_that_flickers_is_no_slope() -> None:
    seen = stand(replace(HEALTHY, cpu_temp_c=66.0 + second % 2) for second in range(600))
    assert all(each.rungs["heat"] == "cool" for each in seen)


def test_a_hot_sensor_goes_straight_to_where_it_must() -> None:
    standing = last(HEALTHY, cpu_temp_c=83.5)
    assert standing.rungs["heat"] == "hand-over" and len(standing.changes) == 0
    assert standing.limits.hand_over and standing.limits.accept is Accept.ONLY_HERE and standing.limits.threads == 1


def test_the_platforms_own_flag_counts_as_hot_and_rests_when_it_stays() -> None:
    seen = stand([replace(HEALTHY, cpu_temp_c=None, throttled=True)] * 70)
    assert seen[0].rungs["heat"] == "hand-over" and seen[50].rungs["heat"] == "hand-over"
    assert seen[-1].rungs["heat"] == "cooling"


def test_cooling_says_until_when_and_keeps_to_it() -> None:
    ladder = Ladder()
    hot = stand([replace(HEALTHY, cpu_temp_c=90.0)] * 30, ladder)[-1]
    until_s = hot.limits.cooling_until_s
    assert until_s is not None and until_s >= 600.0
    seen = stand([replace(HEALTHY, cpu_temp_c=40.0)] * 1200, ladder, 30.0)
    resting = [second for second, each in enumerate(seen, 30) if each.limits.accept is Accept.NONE]
    assert resting[-1] + 1 >= until_s and seen[-1].limits.accept is Accept.ALL


@pytest.mark.parametrize(
    ("battery_pct", "rung", "limits"),
    [
        (51.0, "full", Limits()),
        (49.0, "saving", Limits(cloud_from_tokens=256)),
        (19.0, "low", Limits(cloud_from_tokens=256, accept=Accept.ONLY_HERE, reason="the battery is low")),
        (
            9.0,
            "nearly-empty",
            Limits(cloud_from_tokens=256, accept=Accept.ONLY_HERE, max_output_tokens=64, reason="the battery is low"),
        ),
    ],
)
def test_the_battery_decides_who_answers(battery_pct: float, rung: str, limits: Limits) -> None:
    standing = last(HEALTHY, battery_pct=battery_pct)
    assert standing.rungs["battery"] == rung
    assert standing.limits == limits & Limits(threads=1, spinning=False)


def test_external_power_takes_the_battery_out_of_it() -> None:
    assert last(HEALTHY, battery_pct=5.0, charging=True).rungs["battery"] == "full"
    ladder = Ladder()
    stand([replace(HEALTHY, battery_pct=5.0)] * 10, ladder)
    charged = stand([replace(HEALTHY, battery_pct=6.0, charging=True)] * 700, ladder, 10.0)
    assert [change.after for each in charged for change in each.changes if change.ladder == "battery"] == ["full"]


def test_two_threads_are_given_back_quickly_when_others_work() -> None:
    ladder = Ladder()
    assert stand([HEALTHY] * 1300, ladder)[-1].limits.spinning
    busy = stand([replace(HEALTHY, others_cores=4.0)] * 30, ladder, 1300.0)
    first = next(second for second, each in enumerate(busy) if each.limits.threads == 1)
    assert first <= 5


def test_a_short_burst_of_others_is_no_load() -> None:
    ladder = Ladder()
    stand([HEALTHY] * 1300, ladder)
    burst = [replace(HEALTHY, others_cores=2.0), *[HEALTHY] * 60]
    assert all(not each.changes for each in stand(burst, ladder, 1300.0))


def test_the_throttle_temperature_and_paces_are_settings() -> None:
    watch = LadderSettings(throttle_c=45.0, slow_tokens_per_s=4.0)
    standing = stand([replace(HEALTHY, cpu_temp_c=38.0)] * 3, Ladder(watch))[-1]
    assert standing.limits.tokens_per_s == 4.0


@given(st.lists(st.tuples(ANY_FACTS, st.floats(-100, 700)), max_size=25))
def test_any_facts_at_any_times_give_limits_of_the_tables(series: list[tuple[LadderFacts, float]]) -> None:
    ladder, again, now_s = Ladder(), Ladder(), 0.0
    names = {table.ladder: set(table.names) for table in ladder.tables}
    for facts, passed_s in series:
        now_s += passed_s
        standing = ladder.step(facts, now_s)
        assert standing == again.step(facts, now_s)
        assert all(rung in names[name] for name, rung in standing.rungs.items())
        assert (standing.limits.cooling_until_s is not None) == (standing.rungs["heat"] == "cooling")
        assert standing.limits.cooling_until_s is None or math.isfinite(standing.limits.cooling_until_s)
        assert standing.limits.accept is Accept.ALL or standing.limits.reason


@given(st.floats(0, 40), st.floats(0, 20), st.integers(0, 2 * GIB), st.integers(0, GIB))
def test_worse_facts_give_no_milder_limits(warm: float, warmer: float, little: int, less: int) -> None:
    mild = last(HEALTHY, cpu_temp_c=45.0 + warm, memory_available_bytes=2 * GIB - little, battery_pct=80.0 - warm)
    grave = last(
        HEALTHY,
        cpu_temp_c=45.0 + warm + warmer,
        memory_available_bytes=max(0, 2 * GIB - little - less),
        battery_pct=80.0 - warm - warmer,
    )
    assert grave.limits.is_as_strict_as(mild.limits)
