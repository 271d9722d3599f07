"""When a client hangs up: its answer ends, and what it held is free after one step of the engine.

Elsewhere an answer outlives its reader. Here too, for a client that says that it may come back: with an
Idempotency-Key, or a cursor.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from edgewise.api.drain import Drain
from edgewise.api.host import Caller
from edgewise.api.repeats import MemoryRepeats
from edgewise.api.service import AnswerService
from edgewise.api.visits import Repetition, Visit, Visits
from edgewise.dialects.chat import ChatRequest
from edgewise.wire.errors import EdgewiseError


async def end_answers(service: AnswerService, caller: Caller, sids: Sequence[str], drain: Drain) -> None:
    """Stop the answers of a client that hung up. What is cut off by `drain` is left to be gone on with."""
    for sid in () if drain.begun else sids:
        with suppress(EdgewiseError):  # nobody is left to hear of it
            await service.cancel(caller, sid)


class _ReadOnce(Visit):
    """A visit whose answer ends with it."""

    def __init__(self, visit: Visit, service: AnswerService, caller: Caller, drain: Drain) -> None:
        super().__init__(visit.answer)
        self._service, self._caller, self._drain = service, caller, drain

    async def left(self, *, told: bool) -> None:
        await end_answers(self._service, self._caller, (self.answer.sid,), self._drain)


class WorkerVisits(Visits):
    """Visits of a worker's own clients. A client's retry is a new request: what it lost was ended."""

    def __init__(self, service: AnswerService, drain: Drain) -> None:
        super().__init__(service, MemoryRepeats())
        self._answers, self._drain = service, drain

    async def open(self, caller: Caller, request: ChatRequest, body: bytes, said: Repetition | None) -> Visit:
        if said is not None and (said.key or said.cursor):
            return await super().open(caller, request, body, said)
        return _ReadOnce(await super().open(caller, request, body, None), self._answers, caller, self._drain)
