"""When an engine steps: never far ahead of the readers, whoever waits.

Work for quiet times: done while there is no attempt, a piece at a time, and never in the way of one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import pytest

from edgewise.node.engine import Engine, EngineStats, StepOutput
from edgewise.node.engine_thread import EngineThread
from edgewise.node.scripted import ScriptedEngine
from edgewise.wire.errors import EdgewiseError
from tests.factories.states import make_state

WAIT_S = 20.0
AHEAD = 8


class QuietEngine(ScriptedEngine):
    """Has `pieces` to do when it is quiet, and notes what it was doing meanwhile."""

    def __init__(self, pieces: Sequence[float | None]) -> None:
        super().__init__(lambda state: range(5, 205))
        self._pieces = list(pieces)
        self.done = threading.Semaphore(0)
        self.running_meanwhile: list[int] = []
        self.threads: set[int] = set()

    def idle_work(self) -> float | None:
        self.running_meanwhile.append(self.stats().running)
        self.threads.add(threading.get_ident())
        self.done.release()
        if not self._pieces:
            raise RuntimeError("nothing was planned")
        return self._pieces.pop(0)


class Heard:
    """Keeps what the thread reports."""

    def __init__(self) -> None:
        self.finished = threading.Event()
        self.tokens = threading.Semaphore(0)

    def came_out(self, outputs: Sequence[StepOutput]) -> None:
        self.tokens.release(sum(len(output.ids) for output in outputs))
        if any(output.finish for output in outputs):
            self.finished.set()

    def failed(self, attempts: Sequence[str], error: EdgewiseError) -> None:
        raise AssertionError(error)

    def admitted(self, attempts: Sequence[str], at: float) -> None:
        pass


@contextmanager
def running(engine: Engine, ahead_tokens: int = 64) -> Iterator[tuple[EngineThread, Heard]]:
    heard = Heard()
    thread = EngineThread(engine, heard, name="test", ahead_tokens=ahead_tokens, idle_after_s=0.0)
    thread.start()
    try:
        yield thread, heard
    finally:
        if isinstance(engine, ScriptedEngine):
            engine.open()
        thread.stop()
        assert thread.join(WAIT_S)


def test_pieces_are_done_in_the_engines_thread_until_nothing_is_left() -> None:
    engine = QuietEngine([0.0, 0.0, None])
    with running(engine):
        assert all(engine.done.acquire(timeout=WAIT_S) for _ in range(3))
    assert engine.running_meanwhile == [0, 0, 0]
    assert threading.get_ident() not in engine.threads and len(engine.threads) == 1


def test_after_an_answer_it_is_asked_again_and_never_while_one_waits_for_its_reader() -> None:
    engine = QuietEngine([None, None])
    with running(engine, ahead_tokens=1) as (thread, heard):
        assert engine.done.acquire(timeout=WAIT_S)
        thread.submit("a", make_state(max_tokens=200))
        for _ in range(200):
            assert heard.tokens.acquire(timeout=WAIT_S)
            thread.taken("a", 1)
        assert heard.finished.wait(WAIT_S) and engine.done.acquire(timeout=WAIT_S)
    assert engine.running_meanwhile == [0, 0]


def test_a_piece_that_fails_ends_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    engine = QuietEngine([])
    with running(engine) as (thread, heard):
        assert engine.done.acquire(timeout=WAIT_S)
        thread.submit("a", make_state(max_tokens=3))
        assert heard.finished.wait(WAIT_S)
        assert thread.healthy
    assert "work for quiet times failed" in caplog.text


def test_an_engine_without_such_work_is_left_alone() -> None:
    with running(ScriptedEngine(lambda state: (5, 6, 7))) as (thread, heard):
        thread.submit("a", make_state(max_tokens=3))
        assert heard.finished.wait(WAIT_S)


class Narrow(ScriptedEngine):
    """Has two slots, but memory for as many as `room`; the others wait although a slot is free."""

    def __init__(self, room: int = 1) -> None:
        super().__init__(lambda state: range(5, 205), slots=room)
        self.steps = 0

    def widen(self) -> None:
        self._slots = 2

    def said(self, attempt: str) -> int:
        return len(self._running[attempt].output_ids)

    def step(self) -> list[StepOutput]:
        self.steps += 1
        return super().step()

    def stats(self) -> EngineStats:
        return msgspec.structs.replace(super().stats(), slots=2)


class ByHand:
    """An EngineThread whose thread was never started: commands and steps happen when the test says so."""

    def __init__(self, engine: Engine) -> None:
        self.thread = EngineThread(engine, Heard(), name="test", ahead_tokens=AHEAD)

    def submit(self, *attempts: str) -> None:
        for attempt in attempts:
            self.thread._submit(attempt, make_state(max_tokens=200))

    def settle(self) -> None:
        """Step until there is no reason to."""
        for _ in range(1000):
            if not self.thread._may_step():
                return
            self.thread._step()
        raise AssertionError("it steps for ever")


def test_who_waits_for_memory_does_not_let_the_others_run_ahead() -> None:
    engine = Narrow()
    hand = ByHand(engine)
    hand.submit("a")
    hand.settle()
    assert engine.said("a") == AHEAD
    hand.submit("b")
    hand.settle()
    assert (engine.said("a"), engine.said("b")) == (AHEAD + 1, 0)
    hand.thread.taken("a", 5)
    hand.settle()
    assert engine.said("a") == AHEAD + 5


def test_who_waits_gets_in_when_there_is_room_again() -> None:
    engine = Narrow()
    hand = ByHand(engine)
    hand.submit("a", "b", "c")
    hand.settle()
    hand.thread._cancel("a")
    hand.settle()
    assert (engine.said("b"), engine.said("c")) == (AHEAD, 0)
    engine.widen()
    hand.thread.taken("b", 1)
    hand.settle()
    assert engine.said("c") == AHEAD


def test_slots_that_are_full_ask_for_no_look() -> None:
    engine = Narrow(room=2)
    hand = ByHand(engine)
    hand.submit("a", "b")
    hand.settle()
    steps = engine.steps
    hand.submit("c")
    hand.settle()
    assert engine.steps == steps


def test_after_a_failed_step_it_begins_anew() -> None:
    engine = ScriptedEngine(lambda state: range(5, 205))
    heard = Failed()
    thread = EngineThread(engine, heard, name="test", ahead_tokens=AHEAD)
    thread._submit("a", make_state(max_tokens=200))
    thread._step()
    engine.fail_next(RuntimeError("once"))
    thread._step()
    assert heard.attempts == ["a"] and not thread._may_step()
    thread._submit("b", make_state(max_tokens=200))
    assert thread._may_step()


class Failed(Heard):
    def __init__(self) -> None:
        super().__init__()
        self.attempts: list[str] = []

    def failed(self, attempts: Sequence[str], error: EdgewiseError) -> None:
        self.attempts += attempts


def test_a_command_runs_in_the_engines_thread_and_a_broken_one_ends_nothing() -> None:
    engine = ScriptedEngine(lambda state: range(5, 25))
    heard, ran, threads = Heard(), threading.Event(), set[int]()
    thread = EngineThread(engine, heard, name="t", ahead_tokens=64)

    def broken() -> None:
        raise ValueError("a command that fails")

    def noting() -> None:
        threads.add(threading.get_ident())
        ran.set()

    thread.run(broken)
    thread.run(noting)  # asked before the start, done right after it
    thread.start()
    assert ran.wait(WAIT_S) and threads != {threading.get_ident()}
    thread.submit("a", make_state(max_tokens=20))
    assert heard.finished.wait(WAIT_S)
    thread.stop()
    assert thread.join(WAIT_S)
