"""The ladder's benchmark: a row for each metric, device and stress, floors where the mission has them, and pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ladder import Pair, conditions, rows
from tests.simulators.device_days import spend
from tests.simulators.devices import PROFILES


@pytest.fixture(scope="module")
def pair() -> Pair:
    phone = PROFILES[1]
    days = [spend(phone, seconds=90, seed=2, ladder=ladder) for ladder in (True, False)]
    return Pair(phone, "calm", *days)


def test_every_device_meets_every_stress_that_it_can_have() -> None:
    stresses = {name: {s for p, s in conditions() if p.name == name} for name in (each.name for each in PROFILES)}
    assert stresses["Pi"] == {"calm", "hot room", "memory hog"}
    assert all(len(found) == 4 for name, found in stresses.items() if name != "Pi")


def test_rows_say_what_happened_with_and_without(pair: Pair) -> None:
    made = {each.metric: each for each in rows([pair])}
    assert len(made) == 12 and {each.condition for each in made.values()} == {"low phone, calm"}
    floors = {name for name, each in made.items() if each.floor is not None}
    assert floors == {
        "time at the throttle temperature",
        "kills for want of memory",
        "switches, urgent ones apart, of one ladder in ten minutes",
    }
    assert all(each.holds for each in made.values() if each.floor is not None)
    here = made["answers made here"]
    assert (here.ours, here.peer, here.peer_value) == (pair.with_.served, "no ladder", pair.without.served)


def test_a_hot_hour_does_not_hold(pair: Pair) -> None:
    pair.without.hot_seconds = 60
    turned = {each.metric: each for each in rows([Pair(pair.profile, "calm", pair.without, pair.with_)])}
    assert turned["time at the throttle temperature"].holds is False


def test_pictures_are_drawn(pair: Pair, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.ladder_plots import draw

    assert draw(tmp_path / "ladder.png", [pair]) == [tmp_path / "ladder-calm.png"]
    assert (tmp_path / "ladder-calm.png").read_bytes().startswith(b"\x89PNG")
