"""Work for quiet times: done while there is no attempt, a piece at a time, and never in the way of one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from edgewise.node.engine import Engine, StepOutput
from edgewise.node.engine_thread import EngineThread
from edgewise.node.scripted import ScriptedEngine
from edgewise.wire.errors import EdgewiseError
from tests.factories.states import make_state

WAIT_S = 20.0


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
