"""Stop signals: an event or a call, for the duration of a block; a critical task that ends stops the wait."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from edgewise.signals import STOP_SIGNALS, calling_on_stop, stop_signals, until_stopped


@pytest.mark.parametrize("signum", STOP_SIGNALS)
async def test_a_signal_sets_the_event(signum: signal.Signals) -> None:
    with stop_signals() as stop:
        os.kill(os.getpid(), signum)
        await until_stopped(stop)
    assert stop.is_set()


async def test_every_signal_is_heard_while_the_block_runs() -> None:
    heard: list[int] = []
    again = asyncio.Event()
    with calling_on_stop(lambda: again.set() if heard else heard.append(1)):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0)
        await again.wait()
    assert not asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


async def test_a_critical_task_that_fails_is_raised() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await until_stopped(asyncio.Event(), asyncio.create_task(fail()))


def test_it_needs_no_web_server() -> None:
    code = "import sys, edgewise.signals; sys.exit('uvicorn' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
