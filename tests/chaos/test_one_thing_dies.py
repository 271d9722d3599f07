"""One process dies or stands still, in mid-answer or between answers, and no answer is the worse for it."""

from __future__ import annotations

import httpx
import pytest

from benchmarks.stack import Gateway, Stack
from tests.chaos.harm import Victim, celery_child, child, freezer, kill, once, server_of
from tests.chaos.log_check import judge
from tests.chaos.patient import Patient
from tests.system.reading import PLAIN, Reading
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


BESIDE = ("jobs main", "jobs child")
"""No answer speaks to them. Every run kills them in mid-answer; the other harms to them are for the soak."""
ALL_BUT_BESIDE = [pytest.param(who, marks=pytest.mark.soak if who in BESIDE else ()) for who in VICTIMS]


def check(stack: Stack, reading: Reading, expected: str) -> None:
    judge(stack, reading)
    assert reading.text == expected


@pytest.mark.parametrize("who", VICTIMS)
def test_killed_in_mid_answer(who: str, stack: Stack, second: Gateway, undisturbed: dict[str, str]) -> None:
    victim, mode = VICTIMS[who]
    harm = once(lambda: kill(victim(stack)), at_chunk=MID_ANSWER)
    reading = Patient([stack, second]).ask(harm, edgewise={"mode": mode})
    check(stack, reading, undisturbed[mode])


@pytest.mark.parametrize("who", ALL_BUT_BESIDE)
def test_standing_still_in_mid_answer(who: str, stack: Stack, second: Gateway, undisturbed: dict[str, str]) -> None:
    """The process wakes up after others have given it up; what it then does must be of no consequence."""
    victim, mode = VICTIMS[who]
    with freezer() as freezing:
        harm = once(lambda: freezing.freeze(victim(stack)), at_chunk=MID_ANSWER)
        reading = Patient([stack, second]).ask(harm, edgewise={"mode": mode})
    check(stack, reading, undisturbed[mode])


@pytest.mark.parametrize("who", ALL_BUT_BESIDE)
def test_killed_just_before_an_answer(who: str, stack: Stack, second: Gateway, undisturbed: dict[str, str]) -> None:
    victim, mode = VICTIMS[who]
    kill(victim(stack))
    reading = Patient([stack, second]).ask(edgewise={"mode": mode})
    check(stack, reading, undisturbed[mode])


def test_at_the_end_no_job_is_lost_or_done_twice(stack: Stack, second: Gateway) -> None:
    """Every job that all this made has ended well, and none that takes up a stream was made twice."""
    headers = {"authorization": f"Bearer {stack.keys['operator']}"}

    def jobs() -> list[dict[str, str]]:
        answer = httpx.get(f"{stack.base_url}/admin/v1/jobs", params={"limit": 200}, headers=headers, **PLAIN)
        answer.raise_for_status()
        found: list[dict[str, str]] = answer.json()["items"]
        return found

    eventually(lambda: all(job["state"] == "done" for job in jobs()), within_s=60)
    resumed = [job["key"] for job in jobs() if job["kind"] == "resume_stream"]
    assert resumed
    assert len(resumed) == len(set(resumed))
