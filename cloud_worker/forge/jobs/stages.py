"""Stages: a body's work in named parts, each done once however often the job is tried, and its progress over all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from cloud_worker.forge.jobs.claim import MESSAGE_MAX_CHARS, Told
from cloud_worker.forge.jobs.workspace import read_whole, write_whole

FOLDER = "stages"
RATE_AFTER_S = 1.0

T = TypeVar("T")


class Progress(Protocol):
    """What a body calls: the stage, how much of it is done, out of how much, and a few words without content."""

    def __call__(self, stage: str, done: float, total: float, message: str = "") -> None: ...


class Meter:
    """Makes progress over all stages of progress in one. `weights` are the stages' shares of the time, in order.

    The rate counts from what an attempt found done: a training that goes on from its checkpoint does not look fast.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        send: Callable[[Told], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._weights = weights
        self._send = send
        self._clock = clock
        self._stage = ""
        self._since, self._first = 0.0, 0.0

    def __call__(self, stage: str, done: float, total: float, message: str = "") -> None:
        """See Progress. Raises KeyError for a stage without a weight."""
        if stage != self._stage:
            self._stage, self._since, self._first = stage, self._clock(), done
        share = min(max(done / total, 0.0), 1.0) if total > 0 else 0.0
        self._send(Told(self._before(stage) + self._share(stage) * share, self._words(done, total, message)))

    def _words(self, done: float, total: float, message: str) -> str:
        counted = f"{self._stage} {done:g}/{total:g}" if total > 1 else self._stage
        spent_s = self._clock() - self._since
        rate = f"{(done - self._first) / spent_s:.1f}/s" if total > 1 and spent_s >= RATE_AFTER_S else ""
        return " · ".join(part for part in (counted, rate, message) if part)[:MESSAGE_MAX_CHARS]

    def _share(self, stage: str) -> float:
        return self._weights[stage] / sum(self._weights.values())

    def _before(self, stage: str) -> float:
        names = list(self._weights)
        return sum((self._share(name) for name in names[: names.index(stage)]), 0.0)


class Stages:
    """The stages of one job's workspace."""

    def __init__(self, workspace: Path, progress: Progress) -> None:
        self._folder = workspace / FOLDER
        self._progress = progress

    def once(self, name: str, shape: type[T], work: Callable[[], T]) -> T:
        """What `work` returns (a msgspec Struct or plain data), or returned at an earlier attempt."""
        self._progress(name, 0, 1)
        found = self.piece(name, shape, work)
        self._progress(name, 1, 1)
        return found

    def piece(self, name: str, shape: type[T], work: Callable[[], T]) -> T:
        """As `once`, for a piece of a stage, whose progress the body tells itself."""
        kept = self._folder / f"{name}.json"
        found = read_whole(kept, shape)
        if found is None:
            found = work()
            self._folder.mkdir(exist_ok=True)
            write_whole(kept, msgspec.json.encode(found))
        return found
