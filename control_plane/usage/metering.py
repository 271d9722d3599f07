"""The usage side of one gateway, opened and closed as a whole. Wiring only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from control_plane.gateways.changes import Changes
from control_plane.usage.charges import Charge
from control_plane.usage.ledger import Ledger
from control_plane.usage.limit_book import LimitBook
from control_plane.usage.limits import Prices
from control_plane.usage.rebuild import Rebuild
from control_plane.usage.reports import UsageReports
from control_plane.usage.service import Meter
from control_plane.usage.sweep import Sweep, UsageReader
from control_plane.usage.valkey_counters import ValkeyCounters, connect_counters
from edgewise.ending import end
from edgewise.streams.log import StreamLog

SETTLE_S = 3.0


@dataclass(frozen=True)
class Metering:
    """What the rest of a gateway uses."""

    meter: Meter
    reports: UsageReports


@asynccontextmanager
async def metering(
    database: Database,
    audit: AuditTrail,
    changes: Changes,
    log: StreamLog,
    *,
    log_url: str,
    spill_file: Path,
    prices: Prices,
) -> AsyncIterator[Metering]:
    """Counters beside the token log, the ledger in SQL, and the sweep. `log` reads sealed streams too."""
    counters = ValkeyCounters(connect_counters(log_url))

    async def on_written(charges: Sequence[Charge]) -> None:
        await meter.written(charges)

    ledger = Ledger(database, spill_file, on_written=on_written)
    rebuild = Rebuild(counters, database, ledger)
    book = LimitBook(database, audit, rebuild, changes)
    await book.load()
    meter = Meter(counters, book, ledger, rebuild, UsageReader(log), prices=prices)
    await ledger.start()
    sweep = asyncio.create_task(Sweep(counters, meter, ledger, log).run(), name="usage-sweep")
    loading = asyncio.create_task(rebuild.run(), name="usage-load")
    try:
        yield Metering(meter, UsageReports(database, book, counters, ledger))
    finally:
        await end(sweep, loading)
        await meter.drain(SETTLE_S)
        await ledger.stop()
        await counters.aclose()
