"""One attempt on its way out: ids that the engine gave, turned into chunks of text at the pace allowed.

Used from the event loop's thread only. What runs the engine is engine_thread.py; what hands chunks out is driver.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from edgewise.generation.detokenize import TokenBytes
from edgewise.generation.probabilities import TokenProbability
from edgewise.generation.state import GenerationState
from edgewise.generation.text import TextStream
from edgewise.node.engine import StepOutput
from edgewise.routing.tier import Chunk, Finish, Usage
from edgewise.wire.errors import EdgewiseError
from edgewise.wire.frames import AttemptTimings


class Emission:
    """The way out of one attempt. `interval_s` is the least time between two tokens, or None for no limit.

    `opened_at` and the `now`s that it is given are seconds of one clock (None: nobody wants timings); `timer` only
    measures short work.
    """

    def __init__(
        self,
        state: GenerationState,
        tokenizer: TokenBytes,
        interval_s: float | None,
        *,
        opened_at: float | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._text = TextStream(tokenizer, state.stops, state.output_ids, shown_chars=len(state.output_text))
        self._prompt_tokens = len(state.prompt_ids)
        self._replayed = len(state.output_ids)
        self._emitted = 0
        self._inbox: deque[int] = deque()
        self._probabilities: deque[TokenProbability] = deque()
        self._finish: Finish | None = "stop" if self._text.stopped else None
        self._error: EdgewiseError | None = None
        self._next_at = float("-inf")
        self._interval_s = interval_s
        self._timed = opened_at is not None
        self._opened_at = self.admitted_at = self._first_at = self._last_at = opened_at or 0.0
        self._heard = False
        self._text_s = 0.0
        self._kv_bytes = 0
        self._timer = timer
        self.changed = asyncio.Event()
        self.cancelled = False

    @property
    def timings(self) -> AttemptTimings | None:
        """Where time and memory went, up to the engine's last news; None before it was heard of."""
        if not (self._timed and self._heard):
            return None
        return AttemptTimings(
            queue_s=max(0.0, self.admitted_at - self._opened_at),
            prefill_s=max(0.0, self._first_at - self.admitted_at),
            decode_s=self._last_at - self._first_at,
            text_s=self._text_s,
            kv_bytes=self._kv_bytes,
        )

    def put(self, output: StepOutput, now: float = 0.0) -> None:
        """More from the engine, at `now`."""
        if not self._heard:
            self._heard, self._first_at = True, now
        self._last_at = now
        self._kv_bytes = output.kv_bytes or self._kv_bytes
        self._inbox.extend(output.ids)
        self._probabilities.extend(output.probabilities)
        self._finish = self._finish or output.finish
        if output.error is not None:
            self._error = output.error
        self.changed.set()

    def fail(self, error: EdgewiseError) -> None:
        """Nothing more will come, because of `error`; what came before is still handed out."""
        self._error = self._error or error
        self.changed.set()

    def cancel(self) -> None:
        """Nothing more is wanted."""
        self.cancelled = True
        self._inbox.clear()
        self._probabilities.clear()
        self.changed.set()

    def pace(self, interval_s: float | None) -> None:
        """Change the pace from the next token on."""
        self._interval_s = interval_s
        self.changed.set()

    def wait_s(self, now: float) -> float | None:
        """Seconds until a token that is here may go out; None when only news can change anything."""
        return max(0.0, self._next_at - now) if self._inbox and self._interval_s is not None else None

    def take(self, now: float) -> Chunk | None:
        """What may go out at `now`, in one chunk; None for nothing yet. Raises the error once all ids are out.

        Text that was held back to the end is in the last chunk, which then has no ids: whoever loses that chunk loses
        the end with it, and the next tier says both.
        """
        if self._finish == "stop" and self._text.stopped:
            return self._chunk((), "", "stop")
        count = self._allowance(now)
        ids = tuple(self._inbox.popleft() for _ in range(count))
        if ids:
            return self._advance(ids)
        if self._inbox:
            return None
        if self._finish:
            return self._chunk((), self._text.finish(), self._finish)
        if self._error is not None:
            raise self._error
        return None

    def _advance(self, ids: tuple[int, ...]) -> Chunk:
        began_at = self._timer()
        out = self._text.push(ids)
        self._text_s += self._timer() - began_at
        return self._chunk(ids[: out.taken], out.text, "stop" if out.stopped else None)

    def _allowance(self, now: float) -> int:
        if self._interval_s is None or self._error is not None:
            return len(self._inbox)
        if not self._inbox or now < self._next_at:
            return 0
        on_time = now - self._next_at < self._interval_s
        self._next_at = (self._next_at if on_time else now) + self._interval_s
        return 1

    def _chunk(self, ids: tuple[int, ...], text: str, finish: Finish | None) -> Chunk:
        start = self._replayed + self._emitted
        self._emitted += len(ids)
        usage = Usage(self._prompt_tokens, self._emitted) if finish else None
        return Chunk(start, ids, text, finish, usage, self.timings if finish else None, self._seen(ids, finish))

    def _seen(self, ids: tuple[int, ...], finish: Finish | None) -> tuple[TokenProbability, ...]:
        """How sure the model was of these ids; where there are none, of the end."""
        count = len(ids) or (1 if finish else 0)
        return tuple(self._probabilities.popleft() for _ in range(min(count, len(self._probabilities))))
