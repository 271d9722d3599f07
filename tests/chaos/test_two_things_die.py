"""Two things go wrong at once, in mid-answer on a device and in the cloud: he who would mend the one is the other."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.stack import Gateway, Stack
from tests.chaos.harm import Freezer, child, freezer, kill, once, server_of
from tests.chaos.log_check import judge
from tests.chaos.patient import Patient
from tests.system.reading import Reading

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

MID_ANSWER = 20
Harm = Callable[[Stack, Gateway, Freezer], None]


def kill_both(one: str, other: str) -> Harm:
    """Two children of `edgewise up`, at the same moment."""

    def harm(stack: Stack, second: Gateway, freezing: Freezer) -> None:
        for pid in [child(one)(stack), child(other)(stack)]:
            kill(pid)

    return harm


def freeze_log_and_kill_gateway(stack: Stack, second: Gateway, freezing: Freezer) -> None:
    """Whoever takes over can neither read nor claim for longer than a lease."""
    freezing.freeze(server_of("token-log")(stack))
    kill(child("control")(stack))


def drain_one_gateway_and_kill_the_other(stack: Stack, second: Gateway, freezing: Freezer) -> None:
    """Those that the drain gives up have nobody to go to until the supervisor has started one again."""
    second.process.send_signal(signal.SIGTERM)
    kill(child("control")(stack))


HARMS: dict[str, Harm] = {
    "gateway and worker": kill_both("control", "worker-0"),
    "the log stands still and the gateway dies": freeze_log_and_kill_gateway,
    "one gateway drains and the other dies": drain_one_gateway_and_kill_the_other,
}

LEAST = "gateway and worker"
"""The one that every run of the tests does; the others are for the soak."""


def ask_all(gateways: list[Stack | Gateway], on_chunk: Callable[[Reading], None]) -> dict[str, Reading]:
    """One answer of each mode, at once."""
    with ThreadPoolExecutor() as pool:
        hears = {"edge": on_chunk, "cloud": lambda _: None}
        asked = {mode: pool.submit(Patient(gateways).ask, hears[mode], edgewise={"mode": mode}) for mode in hears}
        return {mode: future.result() for mode, future in asked.items()}


@pytest.mark.parametrize(
    "what", [LEAST, *(pytest.param(each, marks=pytest.mark.soak) for each in HARMS if each != LEAST)]
)
def test_two_at_once_in_mid_answer(what: str, stack: Stack, second: Gateway, undisturbed: dict[str, str]) -> None:
    with freezer() as freezing:
        harm = once(lambda: HARMS[what](stack, second, freezing), at_chunk=MID_ANSWER)
        readings = ask_all([second, stack], harm)
    for mode, reading in readings.items():
        judge(stack, reading)
        assert reading.text == undisturbed[mode]
