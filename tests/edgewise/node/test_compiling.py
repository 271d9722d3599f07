"""Grammars are compiled beside everything else: one that hangs costs its own attempts a refusal, and nobody else."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from edgewise.generation.grammar import InvalidGrammarError, regex_grammar
from edgewise.generation.grammar_masks import Compiled, Grammars
from edgewise.node.compiling import DISTINCT_MAX, THREADS, Compiling
from edgewise.node.driver import EngineDriver
from edgewise.node.scripted import ScriptedEngine
from edgewise.wire.errors import EdgewiseError, TierError, TierLostError, TierRefusedError
from tests.edgewise.node.test_driver import TEXT, TOKENIZER, collect, driving, long_state
from tests.factories.states import make_state

HANGING = tuple(regex_grammar(f"h{n}") for n in range(THREADS))
QUICK, OTHER = regex_grammar("[0-9]+"), regex_grammar("[a-f]+")


class Slow(Grammars):
    """Compiles what hangs when it is let go, and counts."""

    def __init__(self) -> None:
        super().__init__(TOKENIZER)
        self.let_go = threading.Event()
        self.asked: list[str] = []

    def compile(self, grammar: str) -> Compiled:
        self.asked.append(grammar)
        if grammar in HANGING:
            self.let_go.wait()
        if grammar == "broken":
            raise MemoryError
        return super().compile(grammar)


@contextmanager
def slow() -> Iterator[Slow]:
    grammars = Slow()
    try:
        yield grammars
    finally:
        grammars.let_go.set()


class Bench:
    def __init__(self, grammars: Slow, wait_s: float = 60) -> None:
        self.handed: list[str] = []
        self.errors: dict[str, EdgewiseError] = {}
        self._news = asyncio.Event()
        self.compiling = Compiling(grammars, self._hand_over, self._failed, wait_s=wait_s)

    def put(self, attempt: str, grammar: str | None) -> None:
        self.compiling.put(attempt, make_state(grammar=grammar))

    async def until(self, attempt: str) -> None:
        while attempt not in self.handed and attempt not in self.errors:
            self._news.clear()
            await self._news.wait()

    def _hand_over(self, attempt: str, state: object) -> None:
        self.handed.append(attempt)
        self._news.set()

    def _failed(self, attempt: str, error: EdgewiseError) -> None:
        self.errors[attempt] = error
        self._news.set()


async def test_what_needs_no_compiling_goes_on_at_once() -> None:
    with slow() as grammars:
        bench, known = Bench(grammars), grammars.compile(QUICK)
        bench.put("plain", None)
        bench.put("known", QUICK)
        assert bench.handed == ["plain", "known"]
        unable = Compiling(None, bench._hand_over, bench._failed)  # the engine says that it cannot
        unable.put("unable", make_state(grammar=QUICK))
        assert bench.handed[-1] == "unable" and known is grammars.known(QUICK)


async def test_a_grammar_that_hangs_is_refused_and_holds_up_no_other() -> None:
    with slow() as grammars:
        bench = Bench(grammars, wait_s=2)
        bench.put("hangs", HANGING[0])
        for name, grammar in (("quick", QUICK), ("other", OTHER), ("bad", regex_grammar("["))):
            bench.put(name, grammar)
            await bench.until(name)
        await bench.until("hangs")
        assert bench.handed == ["quick", "other"]
        assert isinstance(bench.errors["bad"], InvalidGrammarError)
        refused = bench.errors["hangs"]
        assert isinstance(refused, TierRefusedError) and refused.retry_after_s and refused.remedy


async def test_threads_that_hang_are_not_free_until_they_end() -> None:
    with slow() as grammars:
        bench = Bench(grammars, wait_s=0.05)
        for name in HANGING:
            bench.put(name, name)
        bench.put("behind", QUICK)
        await bench.until("behind")
        assert isinstance(bench.errors["behind"], TierRefusedError) and QUICK not in grammars.asked
        grammars.let_go.set()
        patient = Bench(grammars)
        patient.put("later", OTHER)
        await patient.until("later")
        bench.put("again", HANGING[0])
        await bench.until("again")
        assert bench.handed == ["again"]


@pytest.mark.parametrize("turns", range(6))
async def test_who_is_dropped_just_as_the_grammar_is_there_is_not_handed_over(turns: int) -> None:
    with slow() as grammars:
        bench = Bench(grammars)
        bench.put("a", HANGING[0])
        while HANGING[0] not in grammars.asked:
            await asyncio.sleep(0)
        grammars.let_go.set()
        for thread in threading.enumerate():
            if thread.name == "grammar":
                thread.join()
        for _ in range(turns):
            await asyncio.sleep(0)
        before = list(bench.handed)
        bench.compiling.drop("a")
        for _ in range(6):
            await asyncio.sleep(0)
        assert bench.handed == before and not bench.compiling._held


async def test_a_grammar_is_compiled_once_for_all_who_wait_and_only_for_them() -> None:
    with slow() as grammars:
        bench = Bench(grammars)
        for name in "abc":
            bench.put(name, HANGING[0])
        for _ in range(3):
            await asyncio.sleep(0)  # all of them wait for the one that compiles
        bench.compiling.drop("b")
        grammars.let_go.set()
        await bench.until("c")
        assert bench.handed == ["a", "c"] and grammars.asked == [HANGING[0]]


async def test_what_waits_has_an_end() -> None:
    with slow() as grammars:
        bench = Bench(grammars)
        for n, grammar in enumerate((*HANGING, *(regex_grammar(f"a{{{n}}}") for n in range(1, DISTINCT_MAX)))):
            bench.put(str(n), grammar)
        await bench.until(str(DISTINCT_MAX))
        assert set(bench.errors) == {str(DISTINCT_MAX)}
        bench.compiling.close()
        grammars.let_go.set()
        await asyncio.sleep(0)
        assert not bench.handed


async def test_a_library_that_breaks_leaves_nobody_waiting() -> None:
    with slow() as grammars:
        bench = Bench(grammars)
        bench.put("a", "broken")
        await bench.until("a")
        assert isinstance(bench.errors["a"], TierError) and "MemoryError" in bench.errors["a"].message


class Constrained(ScriptedEngine):
    """An engine that keeps its own grammars, whatever it is given."""

    def __init__(self, own: Slow, **options: Any) -> None:
        super().__init__(lambda state: TOKENIZER.encode(TEXT), **options)
        self._own = own

    @property
    def grammars(self) -> Grammars | None:
        return self._own

    @grammars.setter
    def grammars(self, given: Grammars | None) -> None:
        assert given is not None


async def waiting_in(driver: EngineDriver, *names: str) -> list[asyncio.Task[Any]]:
    state = long_state(grammar=HANGING[0])
    tasks = [asyncio.create_task(collect(driver.generate(state, name))) for name in names]
    await asyncio.sleep(0)
    return tasks


async def test_attempts_whose_grammar_is_being_compiled_are_counted() -> None:
    with slow() as grammars:
        async with driving(Constrained(grammars, slots=1), max_queue=1) as driver:
            tasks = await waiting_in(driver, "a", "b")
            assert driver.load().queued == 2
            with pytest.raises(TierRefusedError, match="queue"):
                await anext(driver.generate(long_state(), "c"))
            grammars.let_go.set()
            assert all(chunks[-1].finish == "stop" for chunks in await asyncio.gather(*tasks))


async def test_a_driver_is_cancelled_and_stopped_while_a_grammar_hangs() -> None:
    with slow() as grammars:
        async with driving(engine := Constrained(grammars)) as driver:
            cancelled, lost = await waiting_in(driver, "a", "b")
            await driver.cancel("a")
            assert await cancelled == []
            assert await driver.stop()
            with pytest.raises(TierLostError):
                await lost
            assert not engine.submitted


async def test_an_attempt_that_was_cancelled_meanwhile_never_reaches_the_engine() -> None:
    with slow() as grammars:
        async with driving(engine := Constrained(grammars)) as driver:
            cancelled, other = await waiting_in(driver, "a", "b")
            await driver.cancel("a")
            grammars.let_go.set()
            assert await cancelled == [] and (await other)[-1].finish == "stop"
            assert engine.submitted == ["b"]
