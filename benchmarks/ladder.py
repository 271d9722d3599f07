"""`python -m benchmarks.ladder`: an hour of simulated devices under stress, with the degradation ladder and without it.

Everything runs under a virtual clock and is seeded: the figures are the same on every machine. They compare two ways to
run one made-up device; they are no measurement of a real one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from rich.console import Console
from rich.progress import Progress

from benchmarks.report import Floor, Report, Row, machine, percentile, row, show
from tests.simulators.device_days import Day, spend
from tests.simulators.devices import PROFILES, STRESSES, Profile, under

SEED: Final = 7
MINUTES: Final = 60
LADDERS: Final = ("memory", "heat", "battery", "contention")
PEER: Final = "no ladder"


@dataclass(frozen=True, slots=True)
class Pair:
    """One device under one stress: the same hour with the ladder and without."""

    profile: Profile
    stress: str
    with_: Day
    without: Day

    @property
    def condition(self) -> str:
        return f"{self.profile.name}, {self.stress}"


def conditions() -> list[tuple[Profile, str]]:
    """Every device under every stress that it can have."""
    return [(found, stress) for each in PROFILES for stress in STRESSES if (found := under(each, stress)) is not None]


def run(minutes: int, seed: int, advance: Callable[[], None] = lambda: None) -> list[Pair]:
    """All of them; `advance` is called after each."""
    made = []
    for profile, stress in conditions():
        with_, without = (spend(profile, seconds=60 * minutes, seed=seed, ladder=ladder) for ladder in (True, False))
        made.append(Pair(profile, stress, with_, without))
        advance()
    return made


def rows(pairs: Sequence[Pair]) -> list[Row]:
    """The report's rows, device by device."""
    return [each for pair in pairs for each in (*_safety(pair), *_service(pair))]


def _safety(pair: Pair) -> list[Row]:
    hot = [100.0 * day.hot_seconds / len(day.seconds) for day in (pair.with_, pair.without)]
    made = [
        _beside(pair, "time at the throttle temperature", "%", "lower", hot, Floor("ours", "<=", 1.0)),
        _beside(
            pair,
            "kills for want of memory",
            "kills",
            "lower",
            [pair.with_.kills, pair.without.kills],
            Floor("ours", "<=", 0.0),
        ),
    ]
    for urgent, floor in ((False, Floor("ours", "<=", 2.0)), (True, None)):
        most = max(pair.with_.most_switches(ladder, urgent=urgent) for ladder in LADDERS)
        name = "urgent switches" if urgent else "switches, urgent ones apart,"
        samples = sum(change.urgent == urgent for change in pair.with_.changes)
        metric = f"{name} of one ladder in ten minutes"
        made.append(row(metric, pair.condition, "switches", "lower", most, samples=samples, floor=floor))
    return made


def _service(pair: Pair) -> list[Row]:
    days = (pair.with_, pair.without)
    joules = [day.own_joules / max(1, day.answered) for day in days]
    made = [
        _beside(pair, "answers made here", "answers", "higher", [day.served for day in days]),
        _beside(pair, "answers begun here, ended in the cloud", "answers", "lower", [day.moved for day in days]),
        _beside(pair, "answers asked of the cloud", "answers", "lower", [day.sent for day in days]),
        _beside(pair, "requests refused", "requests", "lower", [day.refused for day in days]),
        _beside(pair, "answers cut off", "answers", "lower", [day.lost for day in days]),
        _beside(pair, "energy of an answer on the device", "J", "lower", joules),
    ]
    for name, percent in (("median", 50.0), ("worst", 100.0)):
        waits = [percentile(day.first_tokens_s, percent) if day.first_tokens_s else 0.0 for day in days]
        made.append(_beside(pair, f"{name} first token on the device", "s", "lower", waits))
    return made


def _beside(
    pair: Pair,
    metric: str,
    unit: str,
    better: Literal["higher", "lower"],
    both: Sequence[float],
    floor: Floor | None = None,
) -> Row:
    ours, peer = both
    samples = len(pair.with_.seconds)
    return row(metric, pair.condition, unit, better, ours, peer=PEER, peer_value=peer, samples=samples, floor=floor)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Simulated devices under stress, with the ladder and without.")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--minutes", type=int, default=MINUTES, help="virtual minutes of each device (60)")
    parser.add_argument("--seed", type=int, default=SEED, help="of people and other processes")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw FILE-calm.png and so on, one a stress")
    options = parser.parse_args()
    with Progress(console=Console(stderr=True), transient=True, disable=options.json) as progress:
        task = progress.add_task("devices", total=len(conditions()))
        pairs = run(options.minutes, options.seed, lambda: progress.advance(task))
    made = rows(pairs)
    show(Report("ladder", machine(), made), as_json=options.json)
    if options.plot:
        from benchmarks.ladder_plots import draw

        for path in draw(options.plot, pairs):
            print(path, file=sys.stderr)
    sys.exit(any(each.holds is False for each in made))


if __name__ == "__main__":
    main()
