"""The stages of a run and its progress bar: which of how many, how far, and how long for all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Tell = Callable[[float, str], None]
"""Told how far a stage is, 0 to 1, and what it has to say of itself."""

PRINTED_EVERY = 0.1


def quietly(_share: float, _note: str = "") -> None:
    """A Tell that says nothing."""


@dataclass(frozen=True)
class Stage:
    """One stage: its name, about how many seconds it takes on two free cores, and its work."""

    name: str
    seconds: float
    work: Callable[[Tell], None]


def run_stages(stages: Sequence[Stage], console: Console | None = None) -> None:
    """Do all stages, one after the other, under one progress bar on standard error."""
    with _bar(console or Console(file=sys.stderr)) as bar:
        whole = bar.add_task("", total=sum(stage.seconds for stage in stages))
        done = 0.0
        for number, stage in enumerate(stages, 1):
            stage.work(_teller(bar, whole, f"[{number}/{len(stages)}] {stage.name}", done, stage.seconds))
            done += stage.seconds
            bar.update(whole, completed=done)


@contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, refresh_per_second=0.5, speed_estimate_period=300
    ) as bar:
        yield bar


def _teller(bar: Progress, task: object, title: str, before: float, seconds: float) -> Tell:
    """Moves the bar; where no terminal shows it, prints a line every tenth of the stage."""
    printed = [-1.0]

    def tell(share: float, note: str = "") -> None:
        bar.update(task, completed=before + share * seconds, description=f"{title} {note}".rstrip())  # type: ignore[arg-type]
        if not bar.console.is_terminal and share >= printed[0] + PRINTED_EVERY:
            printed[0] = share
            bar.console.print(f"{title} {share:.0%} {note}".rstrip(), markup=False)

    tell(0.0)
    return tell
