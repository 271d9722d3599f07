"""Answers whose runner died with the last process: claimed, rebuilt from the log by token ids, and gone on with.

Without this a reader of such a stream would wait for ever. Only streams from before this process are touched.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec

from edgewise.api.service import Snapshot
from edgewise.generation.state import GenerationState
from edgewise.ids import new_id
from edgewise.routing.handoff import Encode, with_ids
from edgewise.routing.plan import Limits, Plan, TierSource
from edgewise.routing.runner import Job, Outcome, Runner
from edgewise.streams.entries import TokensEntry, decode_entry
from edgewise.streams.log import Record, StreamLog
from edgewise.wire.errors import EdgewiseError

logger = logging.getLogger(__name__)

_PAGE = 1000
_decode_snapshot = msgspec.msgpack.Decoder(Snapshot).decode


class Recovery:
    """Resumes orphaned streams of the device's own log. `tiers` may serve any of them; `born` is an id made at start.

    `holder` and `lease_s` are those of the runner.
    """

    def __init__(
        self,
        log: StreamLog,
        runner: Runner,
        tiers: TierSource,
        encode: Encode,
        *,
        holder: str,
        lease_s: float,
        born: str = "",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._log = log
        self._runner = runner
        self._tiers = tiers
        self._encode = encode
        self._holder = holder
        self._lease_s = lease_s
        self._born = born or new_id()
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Look at once, and again when the last lease of the old process must have run out."""
        await self.sweep()
        await self._sleep(1.5 * self._lease_s)
        await self.sweep()

    async def sweep(self) -> list[str]:
        """Resume what is orphaned now; returns the stream ids. One that cannot be resumed never stops the others."""
        resumed = []
        for sid in await self._log.expired():
            if sid >= self._born:
                continue
            try:
                await self._resume(sid)
                resumed.append(sid)
            except (EdgewiseError, msgspec.MsgspecError) as error:
                logger.warning("an orphaned stream was not resumed: %s", error, extra={"stream": sid})
        return resumed

    async def _resume(self, sid: str) -> None:
        head = await self._log.head(sid)
        claim = await self._log.claim(sid, holder=self._holder, lease_s=self._lease_s, seen_epoch=head.epoch)
        snapshot = _decode_snapshot(await self._log.request(sid))
        state = with_ids(said_so_far(snapshot.state, await self._records(sid)), self._encode)
        plan = Plan(mode=snapshot.mode, kinds=snapshot.kinds, tiers=self._tiers, limits=Limits())
        job = Job(sid, claim, plan, state, self._clock(), self._encode)
        self._runner.start(job, lambda outcome: _told(sid, outcome))

    async def _records(self, sid: str) -> list[Record]:
        records: list[Record] = []
        while page := await self._log.read(sid, after=records[-1].seq if records else -1, limit=_PAGE):
            records += page
        return records


def said_so_far(state: GenerationState, records: list[Record]) -> GenerationState:
    """The state as the log left it: every id and all text that was appended."""
    for record in records:
        entry = decode_entry(record.payload)
        if isinstance(entry, TokensEntry):
            state = state.advanced(entry.ids, entry.text)
    return state


def _told(sid: str, outcome: Outcome) -> None:
    logger.info("an orphaned answer ended: %s", outcome.finish, extra={"stream": sid})
