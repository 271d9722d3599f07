"""One stack with two gateways for all of chaos: its supervisor mends what a test breaks before the next one begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from benchmarks.stack import Gateway, Stack, running_stack, second_gateway
from tests.chaos.harm import celery_children
from tests.chaos.patient import Patient
from tests.system.reading import PLAIN
from tests.system.test_gateways import eventually


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """Throttled, so that there is a mid-answer."""
    with running_stack("--throttle-edge", "40", "--throttle-cloud", "40") as running:
        yield running


@pytest.fixture(scope="package")
def second(stack: Stack) -> Iterator[Gateway]:
    """A second gateway: somebody must go on while the first one stands still. It drains at once, so that answers are
    cut off by it; the last test of the soak ends it."""
    with ExitStack() as to_be_ended:
        with pytest.MonkeyPatch.context() as environ:
            environ.setenv("EDGEWISE_DRAIN_S", "0.1")
            running = to_be_ended.enter_context(second_gateway(stack))
        yield running


@pytest.fixture(scope="package")
def undisturbed(stack: Stack, second: Gateway) -> dict[str, str]:
    """What is said when nothing happens, by mode; greedy, so that every tier of a mode says the same."""
    return {mode: Patient([stack]).ask(edgewise={"mode": mode}).text for mode in ("edge", "cloud")}


@pytest.fixture(autouse=True)
def healed(stack: Stack, second: Gateway, undisturbed: dict[str, str]) -> None:
    """What one test broke is mended before the next one begins."""
    eventually(lambda: settled(stack, second), within_s=40)


def settled(stack: Stack, second: Gateway) -> bool:
    """Whether both gateways know both nodes again, and the jobs' processes are there."""
    try:
        found = [
            httpx.get(f"{each.base_url}/readyz", **(PLAIN | {"timeout": 2})).json()["nodes"] for each in (stack, second)
        ]
    except httpx.TransportError:
        return False
    return found == [{"edge": 1, "cloud": 1}] * 2 and bool(celery_children(stack))
