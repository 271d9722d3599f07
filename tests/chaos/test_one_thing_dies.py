"""One process dies or stands still, in mid-answer or between answers, and no answer is the worse for it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from benchmarks.stack import Gateway, Stack, running_stack, second_gateway
from tests.chaos.harm import Victim, celery_child, celery_children, child, freezer, kill, once, server_of
from tests.chaos.log_check import judge
from tests.chaos.patient import Patient
from tests.system.reading import Reading
from tests.system.test_gateways import eventually

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

MID_ANSWER = 20
VICTIMS: dict[str, tuple[Victim, str]] = {
    "worker": (child("worker-0"), "cloud"),
    "agent": (child("edge-0"), "edge"),
    "gateway": (child("control"), "edge"),
    "token log": (server_of("token-log"), "edge"),
    "token log and its keeper": (child("token-log"), "cloud"),
    "broker": (server_of("broker"), "cloud"),
    "jobs main": (child("jobs"), "edge"),
    "jobs child": (celery_child, "cloud"),
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Throttled, so that there is a mid-answer; its supervisor mends what these tests break."""
    with running_stack("--throttle-edge", "40", "--throttle-cloud", "40") as running:
        yield running


@pytest.fixture(scope="module")
def second(stack: Stack) -> Iterator[Gateway]:
    """A second gateway: somebody must go on while the first one stands still."""
    with second_gateway(stack) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(stack: Stack, second: Gateway) -> dict[str, str]:
    """What is said when nothing happens, by mode; greedy, so that every tier of a mode says the same."""
    return {mode: Patient([stack]).ask(edgewise={"mode": mode}).text for mode in ("edge", "cloud")}


def settled(stack: Stack, second: Gateway) -> bool:
    """Whether both gateways know both nodes again, and the jobs' processes are there."""
    try:
        found = [httpx.get(f"{each.base_url}/readyz", timeout=2).json()["nodes"] for each in (stack, second)]
    except httpx.TransportError:
        return False
    return found == [{"edge": 1, "cloud": 1}] * 2 and bool(celery_children(stack))


@pytest.fixture(autouse=True)
def healed(stack: Stack, second: Gateway, undisturbed: dict[str, str]) -> Iterator[None]:
    """What one test broke is mended before the next one begins."""
    eventually(lambda: settled(stack, second), within_s=40)
    yield


def check(stack: Stack, reading: Reading, expected: str) -> None:
    judge(stack, reading)
    assert reading.text == expected


@pytest.mark.parametrize("who", VICTIMS)
def test_killed_in_mid_answer(who: str, stack: Stack, second: Gateway, undisturbed: dict[str, str]) -> None:
    victim, mode = VICTIMS[who]
    harm = once(lambda: kill(victim(stack)), at_chunk=MID_ANSWER)
    reading = Patient([stack, second]).ask(harm, edgewise={"mode": mode})
    check(stack, reading, undisturbed[mode])


@pytest.mark.parametrize("who", VICTIMS)
def test_standing_still_in_mid_answer(who: str, stack: Stack, second: Gateway, undisturbed: dict[str, str]) -> None:
    """The process wakes up after others have given it up; what it then does must be of no consequence."""
    victim, mode = VICTIMS[who]
    with freezer() as freezing:
        harm = once(lambda: freezing.freeze(victim(stack)), at_chunk=MID_ANSWER)
        reading = Patient([stack, second]).ask(harm, edgewise={"mode": mode})
    check(stack, reading, undisturbed[mode])


@pytest.mark.parametrize("who", VICTIMS)
def test_killed_just_before_an_answer(who: str, stack: Stack, second: Gateway, undisturbed: dict[str, str]) -> None:
    victim, mode = VICTIMS[who]
    kill(victim(stack))
    reading = Patient([stack, second]).ask(edgewise={"mode": mode})
    check(stack, reading, undisturbed[mode])


def test_at_the_end_no_job_is_lost_or_done_twice(stack: Stack, second: Gateway) -> None:
    """Every job that all this made has ended well, and none that takes up a stream was made twice."""
    headers = {"authorization": f"Bearer {stack.keys['operator']}"}

    def jobs() -> list[dict[str, str]]:
        answer = httpx.get(f"{stack.base_url}/admin/v1/jobs", params={"limit": 200}, headers=headers)
        answer.raise_for_status()
        found: list[dict[str, str]] = answer.json()["items"]
        return found

    eventually(lambda: all(job["state"] == "done" for job in jobs()), within_s=60)
    resumed = [job["key"] for job in jobs() if job["kind"] == "resume_stream"]
    assert resumed
    assert len(resumed) == len(set(resumed))
