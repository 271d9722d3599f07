"""An Engine that says what it is told to: for tests of the driver, of sessions and of whole stacks. No model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from edgewise.generation.state import GenerationState
from edgewise.node.engine import EngineStats, StepOutput
from edgewise.routing.tier import Finish
from edgewise.wire.errors import TierRefusedError
from edgewise.wire.manifest import Manifest

Script = Callable[[GenerationState], Sequence[int]]


def scripted_manifest(*, context_tokens: int = 1024, eos_ids: tuple[int, ...] = (1,), tier: str = "edge") -> Manifest:
    """A manifest of a model without files."""
    return Manifest(
        name="scripted",
        tier=tier,
        format="scripted",
        context_tokens=context_tokens,
        eos_ids=eos_ids,
        files={},
        weights_digest="0" * 64,
        tokenizer_digest="",
        template_digest="",
    )


class ScriptedEngine:
    """One token for each running sequence and step, taken from `script(state)`, the ids of the whole answer.

    An answer that ends before the budget finishes with `stop`, otherwise with `length`; a state with output ids goes on
    where they end. With `gated`, every step waits for one `allow`; `open` lifts the gate. `fail_next` makes the next
    step raise, `break_cancel` makes `cancel` raise too (an engine that cannot be saved).
    """

    numerics_id = "scripted"
    vocab_size = 0

    def __init__(
        self,
        script: Script,
        *,
        manifest: Manifest | None = None,
        slots: int = 4,
        max_queue: int = 64,
        gated: bool = False,
    ) -> None:
        self.manifest = manifest or scripted_manifest()
        self.cancelled: list[str] = []
        self.submitted: list[str] = []
        self.break_cancel = False
        self._script = script
        self._slots, self._max_queue = slots, max_queue
        self._running: dict[str, GenerationState] = {}
        self._failures: list[Exception] = []
        self._gated = gated
        self._gate = threading.Semaphore(0)
        self._steps = 0

    def allow(self, steps: int = 1) -> None:
        """Let a gated engine do this many more steps (callable from any thread)."""
        self._gate.release(steps)

    def open(self) -> None:
        """Lift the gate for good."""
        self._gated = False
        self._gate.release()

    def fail_next(self, error: Exception, times: int = 1) -> None:
        """Let the next `times` steps raise `error`."""
        self._failures.extend([error] * times)

    def submit(self, attempt: str, state: GenerationState) -> None:
        if len(self._running) >= self._slots + self._max_queue:
            raise TierRefusedError("The scripted engine is full", remedy="wait for an answer to end")
        self.submitted.append(attempt)
        self._running[attempt] = state

    def step(self) -> list[StepOutput]:
        if self._gated:
            self._gate.acquire()
        if self._failures:
            raise self._failures.pop(0)
        self._steps += 1
        return [self._advance(attempt) for attempt in list(self._running)[: self._slots]]

    def cancel(self, attempt: str) -> None:
        if self.break_cancel:
            raise RuntimeError("the scripted engine is broken")
        if self._running.pop(attempt, None) is not None:
            self.cancelled.append(attempt)

    def stats(self) -> EngineStats:
        running = min(len(self._running), self._slots)
        return EngineStats(
            running=running, queued=len(self._running) - running, slots=self._slots, output_tokens=self._steps
        )

    def _advance(self, attempt: str) -> StepOutput:
        state = self._running[attempt]
        said, answer = len(state.output_ids), tuple(self._script(state))
        ids = answer[said : said + 1] if state.budget > 0 else ()
        state = self._running[attempt] = state.advanced(ids, "")
        finish: Finish | None = None
        if state.budget <= 0:
            finish = "length"
        elif len(state.output_ids) >= len(answer):
            finish = "stop"
        if finish:
            del self._running[attempt]
        return StepOutput(attempt, ids, finish)
