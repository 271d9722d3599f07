"""The one thread that touches an engine: it runs commands, steps while there is room ahead, and reports what came out.

Everything public may be called from any thread; the reports are called in the engine's thread. Text, pacing and
asyncio are driver.py's business.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from edgewise.generation.state import GenerationState
from edgewise.node.engine import Engine, EngineStats, IdleWork, StepOutput
from edgewise.wire.errors import EdgewiseError, TierError, TierLostError

STRIKES = 3
"""Steps that may fail in a row before the engine is given up."""
IDLE_AFTER_S = 30.0
"""How long nobody must have asked before an engine turns to its work for quiet times."""
logger = logging.getLogger(__name__)


class Reports(Protocol):
    """Whom the thread tells."""

    def came_out(self, outputs: Sequence[StepOutput]) -> None: ...

    def failed(self, attempts: Sequence[str], error: EdgewiseError) -> None: ...

    def admitted(self, attempts: Sequence[str], at: float) -> None: ...


class EngineThread:
    """Owns `engine` from `start` to `stop`. `ahead_tokens` is how far it may run ahead of what was taken; after
    `idle_after_s` without an attempt, an engine that has IdleWork does it."""

    def __init__(
        self,
        engine: Engine,
        reports: Reports,
        *,
        name: str,
        ahead_tokens: int,
        clock: Callable[[], float] = time.monotonic,
        idle_after_s: float = IDLE_AFTER_S,
    ) -> None:
        self._engine, self._reports, self._clock = engine, reports, clock
        self._wake = threading.Condition()
        self._commands: deque[Callable[[], None]] = deque()
        self._ahead: dict[str, int] = {}
        self._in_slots: set[str] = set()
        self._may_admit = False
        self._ahead_tokens = ahead_tokens
        self._stopping = False
        self._strikes = 0
        self._idle_after_s = idle_after_s if isinstance(engine, IdleWork) else None
        self._thread = threading.Thread(target=self._run, name=f"engine-{name}", daemon=True)
        self.stats: EngineStats = engine.stats()
        self.healthy = True

    def start(self) -> None:
        """Begin to step."""
        self._thread.start()

    def stop(self) -> None:
        """End after the step that runs now; the caller has told the attempts already."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; whether it ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def submit(self, attempt: str, state: GenerationState) -> None:
        """Hand a sequence to the engine; a refusal is reported as `failed`."""
        self._command(lambda: self._submit(attempt, state))

    def submit_all(self, attempts: Sequence[tuple[str, GenerationState]]) -> None:
        """Hand sequences to the engine with no step between them."""

        def submit() -> None:
            for attempt, state in attempts:
                self._submit(attempt, state)

        self._command(submit)

    def cancel(self, attempt: str) -> None:
        """Forget a sequence; unknown ones are ignored."""
        self._command(lambda: self._cancel(attempt))

    def taken(self, attempt: str, tokens: int) -> None:
        """So many tokens of `attempt` have left, there is room for more."""
        with self._wake:
            if attempt in self._ahead:
                self._ahead[attempt] -= tokens
                self._wake.notify()

    def allow_ahead(self, tokens: int) -> None:
        """Change how far the engine may run ahead."""
        with self._wake:
            self._ahead_tokens = tokens
            self._wake.notify()

    def run(self, command: Callable[[], object]) -> None:
        """Do something with the engine between two of its steps; what it raises is logged."""
        self._command(lambda: self._ran(command))

    def _ran(self, command: Callable[[], object]) -> None:
        try:
            command()
            self.stats = self._engine.stats()
        except Exception:
            logger.exception("a command to the engine failed")

    def _command(self, command: Callable[[], None]) -> None:
        with self._wake:
            self._commands.append(command)
            self._wake.notify()

    def _run(self) -> None:
        idle_in_s = self._idle_after_s
        while True:
            with self._wake:
                woken = self._wake.wait_for(lambda: self._stopping or self._commands or self._may_step(), idle_in_s)
                commands, self._commands = self._commands, deque()
                stopping = self._stopping
            while commands:  # none is kept while it waits: what a command knows may be large, and closed by then
                commands.popleft()()
            if stopping:
                return
            if self._may_step():
                self._step()
            idle_in_s = self._idle_after_s if woken or self._ahead else self._idle_work()

    def _may_step(self) -> bool:
        """Whether a sequence in a slot has room ahead, or one without may get a slot now.

        That may be for want of more than slots, so the engine is asked once after each arrival and each end: an answer
        that has no room ahead says no more than one call's tokens for each.
        """
        if any(self._ahead[attempt] < self._ahead_tokens for attempt in self._in_slots):
            return True
        waiting = len(self._in_slots) < min(len(self._ahead), self.stats.slots)
        return waiting and (self._may_admit or not self._in_slots)

    def _step(self) -> None:
        began_at = self._clock()
        self._may_admit = False
        try:
            outputs = self._engine.step()
            self.stats = self._engine.stats()
        except Exception as error:  # noqa: BLE001 (whatever a model's code raises must not end the thread)
            self._step_failed(error)
            return
        self._strikes = 0
        if self.stats.admitted:
            self._reports.admitted(self.stats.admitted, began_at)
        self._account(outputs)
        if outputs:
            self._reports.came_out(outputs)
        elif not self.stats.running + self.stats.queued:
            self._fail_all(TierError("The engine lost its sequences", remedy="try again"))

    def _idle_work(self) -> float | None:
        """A piece of what the engine does when it is quiet; seconds until the next."""
        try:
            return self._engine.idle_work() if isinstance(self._engine, IdleWork) else None
        except Exception:
            logger.exception("the engine's work for quiet times failed; it is left alone until the next answer")
            return None

    def _account(self, outputs: Sequence[StepOutput]) -> None:
        with self._wake:
            said = (output.attempt for output in outputs)
            self._in_slots |= self._ahead.keys() & {*self.stats.admitted, *said}
            for output in outputs:
                if output.finish or output.error is not None:
                    self._forget(output.attempt)
                elif output.attempt in self._ahead:
                    self._ahead[output.attempt] += len(output.ids)

    def _forget(self, attempt: str) -> bool:
        """Count it no longer; whether it was there."""
        self._may_admit = True
        self._in_slots.discard(attempt)
        return self._ahead.pop(attempt, None) is not None

    def _submit(self, attempt: str, state: GenerationState) -> None:
        if not self.healthy:
            self._reports.failed([attempt], given_up_error())
            return
        try:
            self._engine.submit(attempt, state)
            self.stats = self._engine.stats()
        except EdgewiseError as error:
            self._reports.failed([attempt], error)
        except Exception as error:  # noqa: BLE001 (as in _step)
            self._reports.failed([attempt], _step_error(error))
        else:
            with self._wake:
                self._ahead[attempt] = 0
                self._may_admit = True

    def _cancel(self, attempt: str) -> None:
        with self._wake:
            if not self._forget(attempt):
                return
        try:
            self._engine.cancel(attempt)
            self.stats = self._engine.stats()
        except Exception as error:  # noqa: BLE001 (as in _step)
            self._give_up(error)

    def _step_failed(self, error: Exception) -> None:
        """Free what runs in the engine, then tell; give the engine up when it cannot even do that, or fails again."""
        self._strikes += 1
        try:
            for attempt in list(self._ahead):
                self._engine.cancel(attempt)
            self.stats = self._engine.stats()
        except Exception as second:  # noqa: BLE001 (as in _step)
            self._give_up(second)
            return
        if self._strikes >= STRIKES:
            self._give_up(error)
        else:
            self._fail_all(_step_error(error))

    def _fail_all(self, error: EdgewiseError) -> None:
        with self._wake:
            attempts = list(self._ahead)
            self._ahead.clear()
            self._in_slots.clear()
        self._reports.failed(attempts, error)

    def _give_up(self, error: Exception) -> None:
        self.healthy = False
        self._fail_all(given_up_error(error))


def _step_error(error: Exception) -> TierError:
    failure = TierError(
        f"The engine failed in a step ({type(error).__name__}: {error})", remedy="another tier may continue the answer"
    )
    failure.__cause__ = error
    return failure


def given_up_error(error: Exception | None = None) -> TierLostError:
    """The error of every attempt on an engine that cannot go on."""
    failure = TierLostError("The engine cannot go on", remedy="restart the process; its log names the first failure")
    failure.__cause__ = error
    return failure
