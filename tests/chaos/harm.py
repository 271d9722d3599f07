"""Doing harm to a stack's processes: killing, and stopping for longer than a lease."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

import psutil  # type: ignore[import-untyped]

from benchmarks.stack import Stack
from tests.system.reading import Reading

STOPPED_S = 3.0
"""Longer than a stream's lease (2 s) and than a node's silence that a gateway bears."""

Victim = Callable[[Stack], int]


def child(name: str) -> Victim:
    """A child of `edgewise up`."""
    return lambda stack: stack.pid(name)


def server_of(name: str) -> Victim:
    """The server process that a child launched: the Valkey itself."""
    return lambda stack: int(psutil.Process(stack.pid(name)).children()[0].pid)


def celery_children(stack: Stack) -> list[int]:
    """The processes that do the jobs' work; none while their main process is coming up."""
    try:
        return [process.pid for process in psutil.Process(stack.pid("jobs")).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def celery_child(stack: Stack) -> int:
    """One of them."""
    return celery_children(stack)[-1]


def kill(pid: int) -> None:
    """SIGKILL; somebody else may have been quicker."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Freezer:
    """Stops processes and lets them go on again after a while; all of them at the end."""

    def __init__(self) -> None:
        self._timers: list[threading.Timer] = []

    def freeze(self, pid: int) -> None:
        """SIGSTOP now, SIGCONT after STOPPED_S: the process wakes up as if nothing had been."""
        os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(STOPPED_S, self._thaw, (pid,))
        self._timers.append(timer)
        timer.start()

    def wait(self) -> None:
        """Until everything goes on."""
        for timer in self._timers:
            timer.join()

    def _thaw(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def freezer() -> Iterator[Freezer]:
    """A Freezer that leaves nothing frozen."""
    one = Freezer()
    try:
        yield one
    finally:
        one.wait()


def once(harm: Callable[[], None], *, at_chunk: int) -> Callable[[Reading], None]:
    """Do it when so many chunks have come."""
    left = [harm]

    def on_chunk(reading: Reading) -> None:
        if left and len(reading.chunks) >= at_chunk:
            left.pop()()

    return on_chunk
