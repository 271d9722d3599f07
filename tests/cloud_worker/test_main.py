"""The worker as a process: ready with the gateway away, a clean end on SIGTERM, an engine given up."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from cloud_worker.main import serve
from cloud_worker.telemetry import WorkerSampler
from edgewise.routing.tier import Load
from edgewise.wire.errors import TierLostError
from tests.factories.models import write_tiny_model


class FakeLink:
    """Talks until it is told to stop."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.stopped = asyncio.Event()
        self._fault = fault

    async def run(self) -> None:
        if self._fault:
            raise self._fault
        await self.stopped.wait()

    async def stop(self) -> None:
        self.stopped.set()


class FakeDriver:
    def __init__(self) -> None:
        self.given_up = asyncio.Event()


class FakeDoor:
    """Serves until it is told to leave, or until its server fails."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.server: asyncio.Task[None] = asyncio.create_task(self._serve(fault))
        self.left: list[float] = []

    async def leave(self, timeout_s: float) -> None:
        self.left.append(timeout_s)

    @staticmethod
    async def _serve(fault: Exception | None) -> None:
        if fault:
            raise fault
        await asyncio.Event().wait()


async def serving(link: FakeLink, driver: FakeDriver, stop: asyncio.Event) -> None:
    async def forever(_: float) -> None:
        await asyncio.Event().wait()

    sampler = WorkerSampler(Load, lambda record: None, interval_s=1, now=lambda: 0.0, measure=dict, sleep=forever)
    given: Any = (link, sampler, driver, stop)
    await serve(*given)


async def test_a_signal_says_goodbye() -> None:
    link, stop = FakeLink(), asyncio.Event()
    stop.set()
    await serving(link, FakeDriver(), stop)
    assert link.stopped.is_set()


async def test_an_engine_that_was_given_up_ends_the_worker() -> None:
    link, driver = FakeLink(), FakeDriver()
    driver.given_up.set()
    with pytest.raises(TierLostError):
        await serving(link, driver, asyncio.Event())
    assert link.stopped.is_set()


async def test_a_fault_in_the_link_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        await serving(FakeLink(ZeroDivisionError()), FakeDriver(), asyncio.Event())


@pytest.mark.parametrize("linked", [True, False], ids=["beside-a-gateway", "alone"])
async def test_a_signal_drains_the_door_and_a_lost_engine_hands_back_at_once(linked: bool) -> None:
    for given_up, drain_s in ((False, 7.0), (True, 0.0)):
        link, driver, door, stop = FakeLink(), FakeDriver(), FakeDoor(), asyncio.Event()
        (driver.given_up if given_up else stop).set()
        given: Any = (link if linked else None, None, driver, stop, door, 7.0)
        with pytest.raises(TierLostError) if given_up else nullcontext():
            await serve(*given)
        assert door.left == [drain_s] and link.stopped.is_set() is linked
        door.server.cancel()


async def test_a_server_that_fails_ends_the_worker() -> None:
    given: Any = (None, None, FakeDriver(), asyncio.Event(), FakeDoor(ZeroDivisionError()), 7.0)
    with pytest.raises(ZeroDivisionError):
        await serve(*given)


@pytest.mark.system
def test_the_process_is_ready_without_a_gateway_and_ends_on_sigterm(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_tiny_model(tmp_path / "model")
    settings = {"url": "http://127.0.0.1:1", "model": tmp_path / "model", "data-dir": tmp_path / "data"}
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    environ = os.environ | {"OMP_NUM_THREADS": "1", "EDGEWISE_WORKER_KEY": "ek_test"}
    command = [sys.executable, "-m", "edgewise.cli.main", "worker", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("ready with tiny-cloud" in line for line in lines)
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
