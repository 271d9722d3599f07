"""The jobs `seal_and_trim` and `purge_sealed`: every ended stream reaches SQL, whoever died before; its live copy goes
some time after that, and the sealed one when its retention is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from control_plane.audit.service import utc_now
from control_plane.decisions.sealed import SealedStreams
from control_plane.jobs.worker import Body, Result, RunningJob
from control_plane.streams.archive import Sealer

BATCH = 100
SETTLED_S = 3.0
"""Streams that ended just now are left to the gateway that ended them, which seals them at once."""


class EndedStreams(Protocol):
    """The token log's index of ended streams that are not sealed."""

    async def unsealed(self, *, older_s: float, limit: int) -> list[str]:
        """Streams that ended at least `older_s` ago, the oldest first."""
        ...

    async def mark_sealed(self, sid: str) -> None:
        """Take a stream off the index; from now on its live copy has its usual time to live."""
        ...


def seal_and_trim(log: EndedStreams, sealer: Sealer, *, settled_s: float = SETTLED_S) -> Body:
    """Seals what the index names. One that cannot be sealed stays there, and stops no other.

    Raises LogUnavailableError, DatabaseUnavailableError.
    """

    async def body(job: RunningJob) -> Result:
        sealed, failed = 0, set[str]()
        while sids := await _next(log, settled_s, failed):
            unsealed = await sealer.seal_all(sids)
            done = [sid for sid in sids if sid not in unsealed]
            await asyncio.gather(*map(log.mark_sealed, done))
            sealed, failed = sealed + len(done), failed | unsealed
            job.progress(0.5, f"{sealed} sealed")
        return {"sealed": sealed, "failed": len(failed)}

    return body


async def _next(log: EndedStreams, settled_s: float, failed: set[str]) -> list[str]:
    """The oldest unsealed streams beside those that failed already."""
    return [sid for sid in await log.unsealed(older_s=settled_s, limit=BATCH + len(failed)) if sid not in failed]


def purge_sealed(sealed: SealedStreams, retention_days: int, *, now: Callable[[], datetime] = utc_now) -> Body:
    """Forgets sealed streams after so many days; 0 keeps them for ever."""

    async def body(job: RunningJob) -> Result:
        if not retention_days:
            return {"kept": "for ever"}
        before = now() - timedelta(days=retention_days)
        await sealed.purge(before)
        return {"before": before.isoformat()}

    return body
