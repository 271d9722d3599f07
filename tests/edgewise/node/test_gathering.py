"""Gathering: those that were announced come together, nobody waits for ever, and nobody is handed over twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from edgewise.generation.state import GenerationState
from edgewise.node.gathering import Attempts, Gathering
from tests.factories.states import make_state

STATE: GenerationState = make_state()


class Hall:
    """A Gathering whose time passes when the test says so."""

    def __init__(self) -> None:
        self.handed: list[list[str]] = []
        self.gathering = Gathering(self._hand_over)
        self._timers: list[asyncio.TimerHandle] = []
        self._loop = asyncio.new_event_loop()

    def _hand_over(self, attempts: Attempts) -> None:
        self.handed.append([attempt for attempt, _ in attempts])

    def _later(self, delay_s: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        self._timers.append(asyncio.TimerHandle(0.0, call, (), self._loop))
        return self._timers[-1]

    def announce(self, attempts: int, seed: int = STATE.seed) -> None:
        self.gathering.announce(seed, attempts, self._later)

    def come(self, *attempts: str, seed: int = STATE.seed) -> None:
        for attempt in attempts:
            self.gathering.put(attempt, make_state(seed=seed))

    def wait(self) -> None:
        timers, self._timers = self._timers, []
        for timer in timers:
            if not timer.cancelled():
                timer._run()

    def close(self) -> None:
        self._loop.close()


def test_the_last_of_those_that_were_announced_brings_them_all() -> None:
    hall = Hall()
    hall.come("before")
    hall.announce(3)
    hall.come("a", "b")
    assert hall.handed == [["before"]]
    hall.come("c", "after")
    assert hall.handed == [["before"], ["a", "b", "c"], ["after"]]
    hall.wait()
    assert len(hall.handed) == 3
    hall.close()


def test_those_that_came_do_not_wait_for_those_that_never_do() -> None:
    hall = Hall()
    hall.announce(3)
    hall.come("a", "b")
    hall.gathering.drop("a")
    hall.wait()
    hall.come("late")
    assert hall.handed == [["b"], ["late"]]
    hall.close()


def test_who_was_not_announced_waits_for_nobody() -> None:
    hall = Hall()
    hall.announce(2, seed=1)
    hall.come("a", seed=1)
    hall.come("stranger", seed=2)
    assert hall.handed == [["stranger"]]
    hall.announce(2, seed=3)
    hall.come("b", seed=1)
    assert hall.handed == [["stranger"], ["a", "b"]]
    hall.wait()
    hall.come("late", seed=3)
    assert hall.handed[2:] == [["late"]]
    hall.close()


@given(
    st.lists(
        st.one_of(st.integers(1, 4), st.just("come"), st.just("wait"), st.just("drop")),
        max_size=30,
    )
)
def test_whatever_happens_everybody_is_handed_over_once_unless_dropped_before(events: list[int | str]) -> None:
    hall, came, dropped = Hall(), list[str](), set[str]()
    for event in events:
        if isinstance(event, int):
            hall.announce(event)
        elif event == "come":
            came.append(str(len(came)))
            hall.come(came[-1])
        elif event == "wait":
            hall.wait()
        elif came:
            if not any(came[-1] in each for each in hall.handed):
                dropped.add(came[-1])
            hall.gathering.drop(came[-1])
    hall.wait()
    assert [name for each in hall.handed for name in each] == [name for name in came if name not in dropped]
    hall.close()
