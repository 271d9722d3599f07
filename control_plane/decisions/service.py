"""Decisions: reading what the recorder wrote. Writing is the recorder's business alone."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.database import Database
from control_plane.decisions.errors import DecisionNotFoundError
from control_plane.decisions.recorder import DecisionRecorder
from control_plane.decisions.repository import DecisionFilter, DecisionRepository
from control_plane.decisions.tables import DecisionRow
from edgewise.ids import is_id

COMPLETION_PREFIX = "chatcmpl-"


def stream_id_of(text: str) -> str:
    """The stream id in a stream id or a chat completion's id. Raises DecisionNotFoundError."""
    sid = text.removeprefix(COMPLETION_PREFIX)
    if not is_id(sid):
        raise DecisionNotFoundError(text)
    return sid


class Decisions:
    """The service behind /admin/v1/decisions. It writes out the recorder's queue first, so that an operator sees the
    answer that just ended."""

    def __init__(self, database: Database, recorder: DecisionRecorder) -> None:
        self._database = database
        self._recorder = recorder

    async def page(
        self, wanted: DecisionFilter, *, before_id: str | None = None, limit: int = 50
    ) -> Sequence[DecisionRow]:
        """Decisions, newest first."""
        await self._recorder.flush()
        async with self._database.reading() as session:
            return await DecisionRepository(session).page(wanted, before_id=before_id, limit=limit)

    async def get(self, stream_id: str) -> DecisionRow:
        """One decision. Raises DecisionNotFoundError."""
        await self._recorder.flush()
        async with self._database.reading() as session:
            row = await DecisionRepository(session).get(stream_id_of(stream_id))
        if row is None:
            raise DecisionNotFoundError(stream_id)
        return row
