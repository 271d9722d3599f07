"""The ledger's writer: takes charges without waiting, writes them to SQL in batches, each answer once.

What the counters hold too is safe there until it is written; the rest waits on disk when SQL is away at the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from control_plane.database import Database
from control_plane.text import clip_name
from control_plane.usage.charges import Charge, date_of
from control_plane.usage.repository import COUNTS, LedgerRepository
from edgewise.ending import end
from edgewise.wire.errors import EdgewiseError

logger = logging.getLogger(__name__)
BATCH_MAX = 500
GATHER_S = 0.5
RETRY_S = 1.0

OnWritten = Callable[[Sequence[Charge]], Awaitable[None]]
Refusals = dict[tuple[str, str, int], int]


class Ledger:
    """A queue before SQL. `add` and `refused` never wait. `on_written(charges)` hears of each batch after its commit;
    it may raise: a later look of the sweep tells it again."""

    def __init__(
        self,
        database: Database,
        spill_file: Path,
        *,
        on_written: OnWritten,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._spill = spill_file
        self._on_written = on_written
        self._sleep = sleep
        self._queue: dict[str, Charge] = {}
        self._refusals: Refusals = defaultdict(int)
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def add(self, charge: Charge) -> None:
        """An answer has ended; the same answer again changes nothing."""
        self._queue[charge.sid] = charge
        self._wake.set()

    def refused(self, key_id: str, tenant: str, day: int) -> None:
        """A request was turned away; only the number is kept."""
        self._refusals[key_id, tenant, day] += 1
        self._wake.set()

    async def start(self) -> None:
        """Begin writing; what an earlier run left on disk comes first."""
        self._queue |= {charge.sid: charge for charge in self._read_spill()}
        self._task = asyncio.create_task(self._run(), name="usage-ledger")
        self._wake.set()

    async def stop(self) -> None:
        """Write what is queued, or leave it on disk when the database is gone."""
        if self._task is not None:
            await end(self._task)
            self._task = None
        try:
            await self.flush()
        except (EdgewiseError, OSError) as error:
            logger.warning("usage of %d answers waits in %s: %s", len(self._queue), self._spill, error)
            self._write_spill()

    async def flush(self) -> None:
        """Write all that is known up to now. Raises the database's typed error; nothing is lost then."""
        async with self._writing:
            refusals, self._refusals = self._refusals, defaultdict(int)
            batch: list[Charge] = []
            try:
                while refusals or self._queue:
                    batch = [self._queue.pop(sid) for sid in list(islice(self._queue, BATCH_MAX))]
                    await self._write(batch, refusals)
                    refusals, written, batch = {}, batch, []
                    await self._told(written)
            except BaseException:
                self._queue = {charge.sid: charge for charge in batch} | self._queue
                for mark, count in refusals.items():
                    self._refusals[mark] += count
                raise
            self._spill.unlink(missing_ok=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._sleep(GATHER_S)
            try:
                await self.flush()
            except (EdgewiseError, OSError) as error:
                logger.warning("usage cannot be written now, it is kept: %s", error)
                await self._sleep(RETRY_S)
                self._wake.set()

    async def _write(self, charges: Sequence[Charge], refusals: Refusals) -> None:
        once = sorted(charges, key=lambda charge: charge.sid)
        async with self._database.session() as session:
            ledger = LedgerRepository(session)
            added = await ledger.add_charges([_charge_row(charge) for charge in once])
            await ledger.add_usage(_sums([charge for charge in once if charge.sid in added], refusals))

    async def _told(self, written: Sequence[Charge]) -> None:
        try:
            await self._on_written(written)
        except EdgewiseError as error:
            logger.warning("the counters do not know yet what the ledger holds: %s", error)

    def _read_spill(self) -> list[Charge]:
        if not self._spill.exists():
            return []
        found, broken = [], 0
        for line in self._spill.read_bytes().splitlines():
            try:
                found.append(msgspec.json.decode(line, type=Charge))
            except (msgspec.DecodeError, UnicodeDecodeError):
                broken += 1
        if broken:
            logger.error("%d lines of %s are no charges and are left out", broken, self._spill)
        return found

    def _write_spill(self) -> None:
        """Whole or not at all: the file of an earlier stop is replaced by this one, which holds its charges too."""
        half = self._spill.with_suffix(".half")
        half.write_bytes(b"".join(msgspec.json.encode(charge) + b"\n" for charge in self._queue.values()))
        half.replace(self._spill)


def _charge_row(charge: Charge) -> dict[str, Any]:
    day, cost = date_of(charge.day), charge.cost_micros
    return {"stream_id": charge.sid, "day": day, "tokens": charge.tokens, "cost_micros": cost}


def _sums(charges: Iterable[Charge], refusals: Refusals) -> list[dict[str, Any]]:
    """One row for each key, tenant, day, kind of tier and model; sorted, so that two writers lock in one order."""
    sums: dict[tuple[str, ...], dict[str, Any]] = {}
    for charge in charges:
        row = _row(sums, charge.key_id, charge.tenant, charge.day, charge.tier_kind, charge.model)
        row["requests"] += 1
        for name in COUNTS[2:]:
            row[name] += getattr(charge, name)
    for (key_id, tenant, day), count in refusals.items():
        _row(sums, key_id, tenant, day, "", "")["refused"] += count
    return [sums[name] for name in sorted(sums)]


def _row(
    sums: dict[tuple[str, ...], dict[str, Any]], key_id: str, tenant: str, day: int, kind: str, model: str
) -> dict[str, Any]:
    names = {"key_id": clip_name(key_id, 64), "tenant": clip_name(tenant, 64), "tier_kind": clip_name(kind, 16)}
    row: dict[str, Any] = {**names, "model": clip_name(model, 64), "day": date_of(day), **dict.fromkeys(COUNTS, 0)}
    return sums.setdefault((*names.values(), row["model"], f"{day:08d}"), row)
