"""Grammars are compiled before the engine hears of an attempt, beside the event loop and the engine's thread.

Whoever waits, waits a limited time, and for no thread at the end. Event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Final

from edgewise.generation.grammar_masks import Compiled, Grammars
from edgewise.generation.state import GenerationState
from edgewise.wire.errors import EdgewiseError, TierError, TierRefusedError

THREADS: Final = 2
"""One grammar that takes long does not hold up the others."""
WAIT_S: Final = 10.0
"""Longer than a slow device takes to read a large vocabulary, before its first grammar."""
DISTINCT_MAX: Final = 64
"""Grammars that are being compiled or wait for it."""


class Compiling:
    """Hands attempts over when their grammars are compiled, at once where there is nothing to compile, and holds what
    was compiled until they are dropped."""

    def __init__(
        self,
        grammars: Grammars | None,
        hand_over: Callable[[str, GenerationState], None],
        failed: Callable[[str, EdgewiseError], None],
        *,
        wait_s: float = WAIT_S,
    ) -> None:
        self._grammars, self._hand_over, self._failed, self._wait_s = grammars, hand_over, failed, wait_s
        self._free = asyncio.Semaphore(THREADS)
        self._held: dict[str, Compiled] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._work: dict[str, asyncio.Task[Compiled]] = {}

    def put(self, attempt: str, state: GenerationState) -> None:
        """An attempt has come."""
        if state.grammar is None or self._grammars is None:
            self._hand_over(attempt, state)
        elif (known := self._grammars.known(state.grammar)) is not None:
            self._held[attempt] = known
            self._hand_over(attempt, state)
        else:
            waiting = self._put_later(self._grammars, state.grammar, attempt, state)
            self._waiting[attempt] = asyncio.create_task(waiting, name=f"grammar-{attempt}")

    def drop(self, attempt: str) -> None:
        """It is over; unknown ones are ignored."""
        self._held.pop(attempt, None)
        if waiting := self._waiting.pop(attempt, None):
            waiting.cancel()

    def close(self) -> None:
        """Hand over nothing more. Threads that compile end when they do."""
        for task in (*self._waiting.values(), *self._work.values()):
            task.cancel()

    async def _put_later(self, grammars: Grammars, grammar: str, attempt: str, state: GenerationState) -> None:
        try:
            compiled = await self._compiled(grammars, grammar)
        except EdgewiseError as error:
            self._failed(attempt, error)
            return
        # wait_for loses a cancellation that comes when what it waits for is there already (cpython 86296)
        if self._waiting.get(attempt) is asyncio.current_task():
            self._held[attempt] = compiled
            self._hand_over(attempt, state)

    async def _compiled(self, grammars: Grammars, grammar: str) -> Compiled:
        """Raises TierRefusedError when it takes too long, InvalidGrammarError, TierError."""
        if grammar not in self._work and len(self._work) >= DISTINCT_MAX:
            raise _busy(f"{DISTINCT_MAX} others are being compiled")
        if (work := self._work.get(grammar)) is None:
            work = self._work[grammar] = asyncio.create_task(self._compile(grammars, grammar), name="grammar")
            work.add_done_callback(lambda done: self._forget(grammar, done))
        try:
            return await asyncio.wait_for(asyncio.shield(work), self._wait_s)
        except TimeoutError:
            raise _busy(f"it is not compiled after {self._wait_s:g} s") from None

    async def _compile(self, grammars: Grammars, grammar: str) -> Compiled:
        """Whoever stops waiting for a thread does not make it free."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Compiled] = loop.create_future()

        def settle(made: Compiled | EdgewiseError) -> None:
            self._free.release()
            if outcome.cancelled():
                return
            if isinstance(made, EdgewiseError):
                outcome.set_exception(made)
            else:
                outcome.set_result(made)

        def work() -> None:
            made = _made(grammars, grammar)
            with suppress(RuntimeError):  # nobody listens once the loop is closed
                loop.call_soon_threadsafe(settle, made)

        try:
            Thread(target=work, name="grammar", daemon=True).start()
        except RuntimeError as error:
            self._free.release()
            raise _busy("this process can start no thread") from error
        return await outcome

    def _forget(self, grammar: str, work: asyncio.Task[Compiled]) -> None:
        del self._work[grammar]
        if not work.cancelled():
            work.exception()  # told to those who still wait, if any


def _made(grammars: Grammars, grammar: str) -> Compiled | EdgewiseError:
    try:
        return grammars.compile(grammar)
    except EdgewiseError as error:
        return error
    except Exception as error:  # noqa: BLE001  whatever the library raises must not leave somebody waiting
        return TierError(f"A grammar could not be compiled: {type(error).__name__}", where="grammar")


def _busy(why: str) -> TierRefusedError:
    return TierRefusedError(
        f"The grammar cannot be compiled now: {why}",
        where="grammar",
        remedy="try again soon, or make the grammar simpler",
        retry_after_s=1.0,
    )
