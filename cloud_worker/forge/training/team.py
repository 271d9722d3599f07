"""What the ranks of one training share: weights and gradients in shared memory, a barrier, a request to stop.

Ranks are single-threaded processes: two threads in one process collapse when a neighbour takes a core. Each rank owns
some of the parameters: it sums their gradients over all ranks and steps them, and the others see the result at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier, Event
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing import get_context

PATIENCE_S = 600.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Team:
    """Shared by `size` ranks: gradients [size, parameters] (none when alone), a barrier, the event to stop.

    `marks` [size, 4, 2] is where ranks leave the results of an examination; `told` [3] is step, steps and loss, as the
    first rank tells the process that watches; `ending` [1] is 1 once the first rank has seen the event, so that all
    ranks end after the same step.
    """

    size: int
    gradients: Tensor | None
    marks: Tensor
    told: Tensor
    ending: Tensor
    barrier: Barrier
    stop: Event

    @classmethod
    def of(cls, size: int, model: nn.Module) -> Team:
        """A team that trains `model`; with several ranks its parameters move to shared memory."""
        context = get_context("spawn")
        gradients = None
        if size > 1:
            model.share_memory()
            gradients = _shared(size, sum(value.numel() for value in model.parameters()))
        marks, told, ending = _shared(size, 4, 2), _shared(3), _shared(1)
        return cls(size, gradients, marks, told, ending, context.Barrier(size), context.Event())

    def meet(self) -> None:
        """Wait for the other ranks; raises threading.BrokenBarrierError when one of them is gone."""
        if self.size > 1:
            self.barrier.wait(PATIENCE_S)


class Share:
    """One rank's part of a team: which parameters it steps, and its row of the gradients."""

    def __init__(self, team: Team, rank: int, model: nn.Module) -> None:
        self.team, self.rank = team, rank
        self.parameters = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
        owners = owned_by(self.parameters, team.size)
        self.own = [index for index, owner in enumerate(owners) if owner == rank]
        ends = torch.tensor([value.numel() for _, value in self.parameters]).cumsum(0).tolist()
        self._cuts = list(zip([0, *ends[:-1]], ends, strict=True))

    def owned(self) -> list[tuple[str, nn.Parameter]]:
        """Names and parameters that this rank steps."""
        return [self.parameters[index] for index in self.own]

    def clear(self) -> None:
        """Zero this rank's gradients, which live in the team's shared row."""
        if self.team.gradients is None:
            for _, value in self.parameters:
                value.grad = None
            return
        row = self.team.gradients[self.rank].zero_()
        for (_, value), (start, end) in zip(self.parameters, self._cuts, strict=True):
            value.grad = row[start:end].view_as(value)

    def gather(self) -> None:
        """Average the gradients of the owned parameters over all ranks; every rank must call it."""
        self.team.meet()
        gradients = self.team.gradients
        if gradients is None:
            return
        for index in self.own:
            start, end = self._cuts[index]
            mean = gradients[:, start:end].mean(0)
            self.parameters[index][1].grad = mean.view_as(self.parameters[index][1])


def owned_by(parameters: Sequence[tuple[str, Tensor]], ranks: int) -> list[int]:
    """The owner of each parameter: the dearest first, each to the rank with the least work so far."""
    owners, load = [0] * len(parameters), [0] * ranks
    costs = [_cost(name, value) for name, value in parameters]
    for index in sorted(range(len(parameters)), key=lambda at: -costs[at]):
        owners[index] = load.index(min(load))
        load[owners[index]] += costs[index]
    return owners


def _cost(name: str, value: Tensor) -> int:
    """About what a step of it costs: orthogonalising a matrix takes its size times its shorter side."""
    return value.numel() * (min(value.shape) if is_matrix(name, value) else 4)


def is_matrix(name: str, value: Tensor) -> bool:
    """Whether Muon steps it: the matrices of the layers."""
    return value.ndim == 2 and ".layers." in name


def _shared(*shape: int) -> Tensor:
    shared: Tensor = torch.zeros(shape).share_memory_()  # type: ignore[no-untyped-call]
    return shared


@contextmanager
def stopping(event: Event) -> Iterator[None]:
    """While it lasts, SIGINT and SIGTERM set `event`: the training saves a checkpoint and ends at the next step.

    Only a process's main thread may set handlers; in another thread this changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(_signal: int, _frame: Any) -> None:
        event.set()

    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """While it lasts, SIGINT and SIGTERM wait. Processes that are started meanwhile go on so until they `heed` them.

    Without it a request to stop would end a rank that is still importing, and the others would wait for it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def heed() -> None:
    """Take what was held back, and from now on what comes."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
