"""Signals, as every process hears them: a call or an event, and the wait for the one that stops it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def calling_on(signals: tuple[signal.Signals, ...], heard: Callable[[], None]) -> Iterator[None]:
    """Each of the signals calls `heard`, each time, while the block runs in this event loop."""
    loop = asyncio.get_running_loop()
    for signum in signals:
        loop.add_signal_handler(signum, heard)
    try:
        yield
    finally:
        for signum in signals:
            loop.remove_signal_handler(signum)


def calling_on_stop(heard: Callable[[], None]) -> AbstractContextManager[None]:
    """SIGINT and SIGTERM call `heard`, each time, while the block runs in this event loop."""
    return calling_on(STOP_SIGNALS, heard)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGINT or SIGTERM sets, for the duration of the block."""
    stop = asyncio.Event()
    with calling_on_stop(stop.set):
        yield stop


async def until_stopped(stop: asyncio.Event, *critical: asyncio.Task[Any]) -> None:
    """Wait for the stop event, or for a critical task to end; an error of that task is raised."""
    waiting = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({waiting, *critical}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    for task in done - {waiting}:
        task.result()
