"""How counters come (back) to life: what a scope has spent is read from the ledger before a budget is asked. It is read
when limits are set, when a gateway starts, and after a loss; no request ever waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.usage.charges import date_of
from control_plane.usage.counters import Counters, Scope, Survey
from control_plane.usage.errors import not_judged
from control_plane.usage.ledger import Ledger
from control_plane.usage.repository import LedgerRepository, UsageFilter
from edgewise.ids import new_id
from edgewise.wire.errors import EdgewiseError

logger = logging.getLogger(__name__)
GRACE_MS = 3000
"""After a loss: time for every gateway to tell what is open there, and to write what has ended."""

AGAIN_MS = 3000
"""After a first load: until then another gateway may have let answers go that it did not know to be limited."""

FIRST_START_S = 0.2
RETRY_S = 0.5
TRIES = 5


class Rebuild:
    """Reads the ledger into the counters. A budget that cannot be read is not asked: LimitsUnavailableError."""

    def __init__(
        self,
        counters: Counters,
        database: Database,
        ledger: Ledger,
        *,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        make_id: Callable[[], str] = new_id,
    ) -> None:
        self._counters = counters
        self._database = database
        self._ledger = ledger
        self._now = now
        self._sleep = sleep
        self._make_id = make_id
        self._wanted: dict[str, tuple[int, Scope]] = {}
        self._wake = asyncio.Event()
        self._later: set[asyncio.Task[None]] = set()

    def soon(self, shard: int, scope: Scope, *, first: bool = False) -> None:
        """Have a scope loaded, `first` before all others; does not wait."""
        self._wanted.pop(scope.name, None)
        one = {scope.name: (shard, scope)}
        self._wanted = one | self._wanted if first else self._wanted | one
        self._wake.set()

    async def run(self) -> None:
        """Load what is wanted, until cancelled; what cannot be loaded now is tried again."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if not await self.catch_up():
                    await self._sleep(RETRY_S)
                    self._wake.set()
        finally:
            for task in self._later:
                task.cancel()

    async def catch_up(self) -> bool:
        """Load all that is wanted now; False when one could not be, and the others wait with it."""
        for _ in range(len(self._wanted)):
            name, (shard, scope) = next(iter(self._wanted.items()))
            del self._wanted[name]
            try:
                await self.ready(shard, scope)
            except EdgewiseError as error:
                logger.warning("a budget cannot be asked yet: %s", error, extra={"scope": name})
            except Exception:  # whatever it was, a key whose budget is never loaded is never served again
                logger.exception("a budget could not be loaded; it is tried again", extra={"scope": name})
            else:
                continue
            self._wanted.setdefault(name, (shard, scope))
            return False
        return True

    async def ready(self, shard: int, scope: Scope) -> None:
        """Return when the limits of a scope may be asked. Raises LimitsUnavailableError."""
        if not await self._counters.epoch(shard):
            await self.begin(shard)
        if scope.limits.budgeted:
            await self._load(shard, scope)

    async def _load(self, shard: int, scope: Scope) -> None:
        for _ in range(TRIES):
            survey = await self._counters.survey(shard, scope.name)
            if survey.wait_ms:
                raise not_judged("its counters were lost and are being built again", survey.wait_ms / 1000)
            if survey.revision >= scope.revision and survey.again_ms != 0:
                self._load_again(shard, scope, survey.again_ms)
                return
            sums = await self._spent(scope.name, survey)
            await self._counters.load(shard, scope.name, scope.revision, survey, sums, again_ms=AGAIN_MS)
        raise not_judged("answers end too quickly to add them up", RETRY_S)

    def _load_again(self, shard: int, scope: Scope, again_ms: int) -> None:
        """The second load, by whichever gateway is there; -1: it was."""

        async def later() -> None:
            await self._sleep(again_ms / 1000)
            self.soon(shard, scope)

        if again_ms > 0:
            task = asyncio.create_task(later(), name=f"usage-load-{scope.name}")
            self._later.add(task)
            task.add_done_callback(self._later.discard)

    async def begin(self, shard: int) -> str:
        """Begin a life of a shard's counters; returns its name, which may be another gateway's. Where there was an
        earlier one, it was lost, and budgets wait for GRACE_MS. SQL knows of it first, so that none is overlooked."""
        name = self._make_id()
        try:
            async with self._database.session() as session:
                ledger = LedgerRepository(session)
                lost = await ledger.put_epoch(shard, name, self._now())
        except EdgewiseError as error:
            raise not_judged(error.message, 1.0) from error
        if lost:  # or another gateway begins the first one in this moment
            await self._sleep(FIRST_START_S)
        return await self._counters.epoch(shard, name, GRACE_MS if lost else 0)

    async def _spent(self, scope: str, survey: Survey) -> list[int]:
        """By WINDOWS, without the answers that the counters hold themselves."""
        kind, _, name = scope.partition(":")
        today = date_of(survey.day)
        tokens, costs = [], []
        try:
            await self._ledger.flush()
            async with self._database.reading() as session:
                ledger = LedgerRepository(session)
                held = await ledger.charges(survey.sids)
                for since in (today, today.replace(day=1), None):
                    by_key = kind == "key"
                    wanted = UsageFilter(name if by_key else None, None if by_key else name, since)
                    spent, cost = await ledger.total(wanted)
                    without = [row for row in held if since is None or row.day >= since]
                    tokens.append(spent - sum(row.tokens for row in without))
                    costs.append(cost - sum(row.cost_micros for row in without))
        except EdgewiseError as error:
            raise not_judged(error.message, 1.0) from error
        return [*tokens, *costs]
