"""`python -m benchmarks.scheduler`: what a step costs the cloud engine's scheduler, and how fair it is under a flood.

No model runs. Costs are processor time of this process; fairness is counted in tokens and the same on every machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.progress import Progress

from benchmarks.report import Floor, Report, Row, machine, percentile, row, show
from cloud_worker.engine.blocks import BlockPool
from cloud_worker.engine.requests import Request
from cloud_worker.engine.scheduler import Limits, Scheduler, Wish
from tests.simulators.tenants import Day, arrivals, jain

STEPS: Final = 1500
TENANTS: Final = 8
PROMPT_TOKENS: Final = 64
FLOOR: Final = Floor("ours", "<=", 150.0)


@dataclass(frozen=True, slots=True)
class Load:
    """What runs: answers that are made at once, rows of each in a step, what waits behind them, how long they are."""

    name: str
    answers: int
    rows: int = 1
    waiting: int = 0
    length: int = 4 * STEPS

    @property
    def steady(self) -> bool:
        """Whether nobody comes and nobody ends."""
        return self.length > STEPS


LOADS: Final = (
    Load("256 answers", 256),
    Load("256 answers, 64 waiting", 256, waiting=64),
    Load("64 answers of 4 rows, 64 waiting", 64, rows=4, waiting=64),
    Load("256 answers of 100 tokens that come and go", 256, waiting=64, length=100),
)


class Desk:
    """A scheduler under a load, with a model that says the same token again and again."""

    def __init__(self, load: Load) -> None:
        self._load, self._made = load, 0
        blocks = load.answers * (PROMPT_TOKENS + load.length + 64) // 32
        limits = Limits(slots=load.answers, step_tokens=load.answers * load.rows + 512, queue_tokens=1 << 30)
        self.scheduler = Scheduler(BlockPool(blocks), limits)
        for _ in range(load.answers):
            self._come()
        while len(self.scheduler.answering) < load.answers:
            self.step()
        for _ in range(load.waiting):
            self._come()

    def step(self) -> tuple[float, float]:
        """Processor time of plan and of advance, in µs."""
        drafts = (1,) * (self._load.rows - 1)
        wish: Wish | None = (lambda _: drafts) if drafts else None
        began = time.process_time_ns()
        plan = self.scheduler.plan(wish)
        planned = time.process_time_ns()
        said = {each.request: (1,) for each in plan.segments if each.wanted}
        ended = [each.id for each in self.scheduler.answering if len(each.output_ids) + 1 >= each.max_tokens]
        told = time.process_time_ns()
        self.scheduler.advance(said, ended, 0.01)
        took = (planned - began) / 1e3, (time.process_time_ns() - told) / 1e3
        for _ in ended:
            self._come()
        return took

    def _come(self) -> None:
        """Lengths differ, so that answers do not end all at once."""
        number, most = self._made, self._load.length
        self._made += 1
        prompt = tuple(range(number, number + PROMPT_TOKENS))
        length = most if self._load.steady else most // 2 + number * 37 % most
        self.scheduler.submit(Request(str(number), prompt, length, tenant=bytes([number % TENANTS])))


def costs(load: Load, steps: int) -> list[Row]:
    """Median and 99th percentile of a step."""
    desk = Desk(load)
    took = [desk.step() for _ in range(steps)]
    made = []
    for metric, values, floor in (
        ("plan", [plan for plan, _ in took], FLOOR),
        ("plan and advance", [plan + advance for plan, advance in took], FLOOR if load.steady else None),
    ):
        for percent, of in ((50, floor), (99, None)):
            value = percentile(values, percent)
            made.append(row(f"{metric}, p{percent}", load.name, "µs", "lower", value, samples=steps, floor=of))
    return made


def fairness(until: float, seeds: int, advance: Callable[[], None]) -> list[Row]:
    """The first tokens of one that asks for a quarter, alone and beside one that asks for ten times that."""
    begun = until / 8
    alone, beside = list[float](), list[float]()
    for seed in range(seeds):
        alone += Day(until).spend(arrivals("quiet", 0.25, until, seed)).first_tokens("quiet", begun)
        flood = [*arrivals("quiet", 0.25, until, seed), *arrivals("flood", 2.5, until, seed)]
        beside += Day(until).spend(flood).first_tokens("quiet", begun)
        advance()
    return [
        row(
            f"first token of the quiet tenant, p{percent}",
            "one tenant floods with ten times as much",
            "tokens",
            "lower",
            percentile(beside, percent),
            peer="alone",
            peer_value=percentile(alone, percent),
            samples=len(beside),
            floor=Floor("ratio", "<=", 1.3) if percent == 99 else None,
        )
        for percent in (50, 99)
    ]


def shares(until: float) -> Row:
    """How equal they are served that all ask for more than there is."""
    loads = (0.4, 1.0, 2.0, 4.0)
    streams = [
        each
        for number, load in enumerate(loads)
        for each in arrivals(f"t{number}", load, until, number, long=1.0 + 0.5 * number)
    ]
    day = Day(until).spend(streams)
    index = jain([day.given(f"t{number}") for number in range(len(loads))])
    floor = Floor("ours", ">=", 0.95)
    condition = "four tenants that ask for 0.4 to 4 times what there is"
    return row("Jain's index of what was given", condition, "", "higher", index, samples=len(loads), floor=floor)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object for machines")
    parser.add_argument("--quick", action="store_true", help="a look: fewer steps, shorter days")
    asked = parser.parse_args(arguments)
    steps, until, seeds = (300, 60_000.0, 1) if asked.quick else (STEPS, 300_000.0, 3)
    with Progress(console=Console(file=sys.stderr)) as progress:
        task = progress.add_task("scheduler", total=len(LOADS) + seeds + 1)
        made: list[Row] = []
        for load in LOADS:
            made += costs(load, steps)
            progress.advance(task)
        made += fairness(until, seeds, lambda: progress.advance(task))
        made.append(shares(until))
        progress.advance(task)
    show(Report("scheduler", machine(), made), as_json=asked.json)


if __name__ == "__main__":
    main()
