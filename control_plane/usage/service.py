"""Meter: reserves before an answer opens, settles when it has ended, and tells the ledger. Exact by the counters'
atomic steps; this file decides which step, and what to do when the counters were lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from control_plane.audit.service import utc_now
from control_plane.usage.charges import Charge, Used, day_number, kind_of
from control_plane.usage.counters import Ask, Counters, Granted, NotReady, Owner, Refused, Scope, shard_of
from control_plane.usage.errors import not_judged, rate_state, refusal
from control_plane.usage.ledger import Ledger
from control_plane.usage.limit_book import LimitBook
from control_plane.usage.limits import Prices, scope_name
from control_plane.usage.rebuild import Rebuild
from edgewise.api.host import Caller
from edgewise.routing.runner import Outcome
from edgewise.wire.errors import (
    EdgewiseError,
    LimitsUnavailableError,
    LogUnavailableError,
    RateState,
    StreamNotFoundError,
)

logger = logging.getLogger(__name__)
TRIES = 8
RETRY_S = 0.5
_NOTHING_TOLD = {"cancelled", "fenced", "interrupted"}


class Reader(Protocol):
    """What a stream's log knows of its use. Both raise LogUnavailableError."""

    async def exists(self, sid: str) -> bool:
        """Whether there is such a stream."""
        ...

    async def find(self, sid: str) -> tuple[Caller, str, Used]:
        """Who asked, for which model, and what was used. Raises StreamNotFoundError."""
        ...


class Opening(msgspec.Struct, frozen=True):
    """An answer that this gateway let in. `granted` and its worst case are None where nothing was limited."""

    caller: Caller
    model: str
    day: int
    granted: Granted | None = None
    worst: Used | None = None


class Meter:
    """One gateway's meter. A request whose key and tenant have no limits costs two look-ups in memory."""

    def __init__(
        self,
        counters: Counters,
        book: LimitBook,
        ledger: Ledger,
        rebuild: Rebuild,
        reader: Reader,
        *,
        prices: Prices,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._counters = counters
        self._book = book
        self._ledger = ledger
        self._rebuild = rebuild
        self._reader = reader
        self._prices = prices
        self._now = now
        self._sleep = sleep
        self._open: dict[str, Opening] = {}
        self._epochs: dict[int, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def reserve(self, caller: Caller, sid: str, prompt_tokens: int, max_tokens: int) -> None:
        """Take the worst case of one request. Raises RateLimitedError, RequestOverLimitError, ConcurrencyLimitError,
        BudgetExceededError, LimitsUnavailableError; then nothing was taken."""
        scopes = self._book.limited(caller.key_id, caller.tenant)
        if scopes is None:
            return
        tokens, cost = prompt_tokens + max_tokens, self._prices.worst(prompt_tokens, max_tokens)
        try:
            verdict = await self._ask(sid, caller, scopes, tokens, cost)
        except asyncio.CancelledError:  # the client hung up, and the counters may have granted it
            self._do(lambda: self._give_back(sid, shard_of(caller.tenant)), sid)
            raise
        if isinstance(verdict, Refused):
            self._ledger.refused(caller.key_id, caller.tenant, self._today())
            raise refusal(verdict, tokens=tokens, cost=cost)
        self._open.setdefault(sid, Opening(caller, "", verdict.day, verdict, Used(prompt_tokens, max_tokens)))

    def admitted(self, sid: str, caller: Caller, model: str) -> None:
        """The stream of an answer is open."""
        reserved = self._open.get(sid)
        self._open[sid] = (
            msgspec.structs.replace(reserved, model=model) if reserved else Opening(caller, model, self._today())
        )

    def release(self, sid: str) -> None:
        """Opening the stream failed, or somebody else has it now; must not wait. While it is there, the reservation
        stays: whoever ends it settles."""
        opening = self._open.pop(sid, None)
        if opening is not None and opening.granted is not None:
            self._do(lambda: self._give_back(sid, shard_of(opening.caller.tenant)), sid)

    def finished(self, sid: str, outcome: Outcome) -> None:
        """An answer has ended, whoever began it; must not wait."""
        opening = self._open.get(sid)
        told = _used(outcome)
        if opening is None or told is None or self._is_counted(opening):
            self._do(lambda: self._settle(sid, opening, told), sid)
        else:
            self._open.pop(sid)
            self._ledger.add(self.charge(sid, opening.caller, opening.model, opening.day, told))

    def rate(self, sid: str) -> RateState | None:
        """How the minute stood when the answer was let in; None where it is not limited."""
        opening = self._open.get(sid)
        return rate_state(opening.granted.rates) if opening and opening.granted else None

    def charge(self, sid: str, caller: Caller, model: str, day: int, used: Used, *, counted: bool = False) -> Charge:
        """What an answer costs."""
        kind = kind_of(used.tier)
        return Charge(
            sid=sid,
            key_id=caller.key_id,
            tenant=caller.tenant,
            day=day,
            tier_kind=kind,
            model=model,
            prompt_tokens=used.prompt_tokens,
            completion_tokens=used.completion_tokens,
            waste_tokens=used.waste_tokens,
            cost_micros=self._prices.cost(kind, used.prompt_tokens, used.completion_tokens),
            counted=counted,
        )

    async def settle(self, charge: Charge) -> None:
        """First the counters, then the ledger: until the ledger has it, the counters keep the charge."""
        owner = owner_of(charge.key_id, charge.tenant)
        body = msgspec.msgpack.encode(charge)
        await self._counters.settle(charge.sid, owner, charge.tokens, charge.cost_micros, body)
        self._ledger.add(charge)

    async def settle_found(self, sid: str, day: int, caller: Caller, model: str, used: Used) -> None:
        """Settle what another gateway began, by the facts in the log. Raises LimitsUnavailableError."""
        await self.settle(self.charge(sid, caller, model, day, used, counted=True))
        self._open.pop(sid, None)

    async def written(self, charges: Sequence[Charge]) -> None:
        """The ledger has committed these. Raises LimitsUnavailableError."""
        by_shard: dict[int, list[str]] = {}
        for charge in charges:
            if charge.counted:
                by_shard.setdefault(shard_of(charge.tenant), []).append(charge.sid)
        for shard, sids in by_shard.items():
            await self._counters.forget(shard, sids)

    async def restore_lost(self) -> None:
        """Tell counters that began a new life of the reservations that are open here, and have their budgets loaded;
        begin that life where nobody has. Raises LimitsUnavailableError."""
        reserved = {shard_of(opening.caller.tenant) for opening in self._open.values() if opening.granted}
        for shard in reserved | self._book.shards():
            epoch = await self._counters.epoch(shard) or await self._rebuild.begin(shard)
            if epoch != self._epochs.get(shard):
                await self._enter(shard, epoch)
                for scope in self._book.budgeted(shard):
                    self._rebuild.soon(shard, scope)

    async def drain(self, timeout_s: float) -> None:
        """Give settling `timeout_s`; what is left over is settled by a gateway's sweep."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # Reserving -----------------------------------------------------------------------------------------------------

    async def _ask(
        self, sid: str, caller: Caller, scopes: tuple[Scope, Scope], tokens: int, cost: int
    ) -> Granted | Refused:
        shard = shard_of(caller.tenant)
        for _ in range(TRIES):
            ask = Ask(sid, shard, self._epochs.get(shard, ""), tokens, cost, scopes)
            verdict = await self._counters.reserve(ask)
            if not isinstance(verdict, NotReady):
                return verdict
            if not verdict.epoch:
                raise self._not_ready(shard, scopes, verdict)
            await self._enter(shard, verdict.epoch)
        raise not_judged("its counters change too quickly", RETRY_S)

    def _not_ready(self, shard: int, scopes: tuple[Scope, Scope], why: NotReady) -> LimitsUnavailableError:
        """What a request is told that cannot be judged yet; SQL is read behind its back."""
        for index in (0, 1) if why.why == "epoch" else why.scopes:
            self._rebuild.soon(shard, scopes[index], first=True)
        if why.why == "wait":
            return not_judged("its counters were lost and are being built again", why.wait_ms / 1000)
        return not_judged("what was spent is being read from the ledger", RETRY_S)

    async def _enter(self, shard: int, epoch: str) -> None:
        """Take part in a life of the counters: first they must know what is open here."""
        for sid, opening in list(self._open.items()):
            if opening.granted is not None and shard_of(opening.caller.tenant) == shard:
                owner = owner_of(opening.caller.key_id, opening.caller.tenant)
                await self._counters.restore(sid, owner, opening.granted)
        self._epochs[shard] = epoch

    # Settling ------------------------------------------------------------------------------------------------------

    def _is_counted(self, opening: Opening) -> bool:
        """Whether the counters must hear of it: they hold a reservation, or limits came while the answer ran."""
        caller = opening.caller
        return opening.granted is not None or self._book.limited(caller.key_id, caller.tenant) is not None

    async def _settle(self, sid: str, opening: Opening | None, told: Used | None) -> None:
        if opening is None or told is None:
            caller, model, used = await self._look_up(sid, opening)
            opening = opening or Opening(caller, model, self._today())
            told = told or used
        await self.settle(self.charge(sid, opening.caller, opening.model, opening.day, told, counted=True))
        self._open.pop(sid, None)

    async def _give_back(self, sid: str, shard: int) -> None:
        if not await self._reader.exists(sid):
            await self._counters.release(sid, shard)

    async def _look_up(self, sid: str, opening: Opening | None) -> tuple[Caller, str, Used]:
        """What the log says; where the log was lost with the answer in it, the worst case stands: it was reserved."""
        try:
            return await self._reader.find(sid)
        except StreamNotFoundError:
            if opening is None or opening.worst is None:
                raise
            return opening.caller, opening.model, opening.worst

    def _do(self, work: Callable[[], Awaitable[None]], sid: str) -> None:
        task = asyncio.create_task(self._until_done(work, sid), name=f"usage-{sid}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _until_done(self, work: Callable[[], Awaitable[None]], sid: str) -> None:
        """Again and again while servers are away; when this process ends first, somebody's sweep does it."""
        while True:
            try:
                await work()
            except (LimitsUnavailableError, LogUnavailableError) as error:
                logger.warning("settling waits: %s", error, extra={"stream": sid})
                await self._sleep(RETRY_S)
                continue
            except EdgewiseError as error:
                logger.error("usage of a stream cannot be told: %s", error, extra={"stream": sid})
                self._open.pop(sid, None)
            return

    def _today(self) -> int:
        return day_number(self._now())


def owner_of(key_id: str, tenant: str) -> Owner:
    """Whose reservations they are."""
    return Owner(shard_of(tenant), scope_name("key", key_id), scope_name("tenant", tenant))


def _used(outcome: Outcome) -> Used | None:
    """What the runner says was used, nothing where no tier spoke; None where only the log can tell: it was stopped, or
    another runner made the most of it."""
    usage = outcome.usage
    if outcome.finish in _NOTHING_TOLD or not (usage.prompt_tokens or usage.completion_tokens):
        return None
    if not outcome.tiers:
        return None if usage.completion_tokens else Used()
    return Used(usage.prompt_tokens, usage.completion_tokens, outcome.timings.waste_tokens, outcome.tiers[-1])
