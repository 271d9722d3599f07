"""Counters in memory: the rules of lua/ in Python, for one process and as the model that the scripts are held to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from control_plane.usage.counters import (
    CHECK_MS,
    LATE_MS,
    WINDOW_S,
    Ask,
    Due,
    Granted,
    NotReady,
    Owner,
    Rate,
    Refused,
    Scope,
    Standing,
    Survey,
)
from control_plane.usage.limits import BUDGETS, WINDOWS

_EPOCH_DAY = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class _Entry:
    owner: Owner
    tokens: int
    cost: int
    slot: int
    day: int
    month: int
    at_ms: int
    check_ms: int
    state: Literal["open", "settled", "written"] = "open"
    used: tuple[int, int] = (0, 0)
    charge: bytes = b""


@dataclass
class _Account:
    """One scope: the minute, and the budgets once they are loaded."""

    version: int = 0
    revision: int | None = None
    again_ms: int = 0
    day: int = 0
    month: int = 0
    spent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WINDOWS, 0))
    reserved: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WINDOWS, 0))
    slots: dict[int, list[int]] = field(default_factory=dict)
    entries: set[str] = field(default_factory=set)
    """Sids that are open, or settled and not yet forgotten."""

    def roll(self, day: int, month: int) -> None:
        for letter, now, had in (("d", day, self.day), ("m", month, self.month)):
            if had < now:
                for window in (f"{letter}t", f"{letter}x"):
                    self.spent[window] = self.reserved[window] = 0
        self.day, self.month = max(day, self.day), max(month, self.month)

    def book(self, entry: _Entry, sums: dict[str, int], tokens: int, cost: int) -> None:
        if self.revision is None:
            return
        current = {"d": entry.day == self.day, "m": entry.month == self.month, "a": True}
        for window in WINDOWS:
            if current[window[0]]:
                sums[window] += tokens if window[1] == "t" else cost

    def slide(self, now_s: int) -> int:
        slot = max([now_s, *self.slots])
        for old in [second for second in self.slots if second < slot - WINDOW_S]:
            del self.slots[old]
        return slot

    def wait_ms(self, index: int, need: int, now_ms: int) -> int:
        freed = 0
        for slot in sorted(self.slots):
            freed += self.slots[slot][index]
            if freed >= need:
                return (slot + WINDOW_S + 1) * 1000 - now_ms
        return (WINDOW_S + 1) * 1000

    def minute(self, index: int) -> int:
        return sum(slot[index] for slot in self.slots.values())


class MemoryCounters:
    """Implements Counters. `now_ms` is Unix milliseconds. Nothing is forgotten: not for a process that runs long."""

    def __init__(self, *, now_ms: Callable[[], int] = lambda: int(time.time() * 1000)) -> None:
        self._now_ms = now_ms
        self.lose()

    def lose(self) -> None:
        """Forget everything, as a server does that lost its disk."""
        self._entries: dict[str, _Entry] = {}
        self._accounts: dict[str, _Account] = {}
        self._epochs: dict[int, tuple[str, int]] = {}

    async def reserve(self, ask: Ask) -> Granted | Refused | NotReady:
        name, ready_ms = self._epochs.get(ask.shard, ("", 0))
        if not name or name != ask.epoch:
            return NotReady("epoch", epoch=name)
        if had := self._entries.get(ask.sid):
            return self._granted(had, ask.scopes)
        accounts = [self._account(scope.name) for scope in ask.scopes]
        day, month = self._today(accounts)
        slot = max(account.slide(self._now_ms() // 1000) for account in accounts)
        for account in accounts:
            account.roll(day, month)
        pairs = list(zip(ask.scopes, accounts, strict=True))
        missing = tuple(index for index, pair in enumerate(pairs) if self._must_load(*pair))
        if missing:
            left_ms = ready_ms - self._now_ms()
            return NotReady("wait", wait_ms=left_ms) if left_ms > 0 else NotReady("load", scopes=missing)
        if refused := self._refusal(ask, accounts, day):
            return refused
        owner = Owner(ask.shard, ask.scopes[0].name, ask.scopes[1].name)
        entry = self._open(ask.sid, owner, Granted(ask.tokens, ask.cost, slot, day, month, ()))
        for account in accounts:
            taken = account.slots.setdefault(slot, [0, 0])
            taken[0] += 1
            taken[1] += ask.tokens
        return self._granted(entry, ask.scopes)

    async def settle(self, sid: str, owner: Owner, tokens: int, cost: int, charge: bytes) -> None:
        entry = self._entries.get(sid)
        if entry is not None and entry.state != "open":
            return
        if entry is None:
            accounts = [self._account(owner.key), self._account(owner.tenant)]
            entry = self._open(sid, owner, Granted(0, 0, 0, *self._today(accounts), ()))
        for account in self._both(entry.owner):
            account.roll(*self._today([account]))
            account.book(entry, account.reserved, -entry.tokens, -entry.cost)
            account.book(entry, account.spent, tokens, cost)
            if entry.slot in account.slots:
                account.slots[entry.slot][1] -= entry.tokens - tokens
        entry.state, entry.used, entry.charge = "settled", (tokens, cost), charge
        entry.check_ms = self._now_ms() + CHECK_MS

    async def forget(self, shard: int, sids: Sequence[str]) -> None:
        for sid in sids:
            entry = self._entries.get(sid)
            if entry is not None and entry.state == "settled":
                entry.state = "written"
                for account in self._both(entry.owner):
                    account.entries.discard(sid)

    async def release(self, sid: str, shard: int) -> None:
        entry = self._entries.get(sid)
        if entry is None or entry.state != "open":
            return
        for account in self._both(entry.owner):
            account.roll(*self._today([account]))
            account.book(entry, account.reserved, -entry.tokens, -entry.cost)
            if entry.slot in account.slots:
                account.slots[entry.slot][0] -= 1
                account.slots[entry.slot][1] -= entry.tokens
            account.entries.discard(sid)
        del self._entries[sid]

    async def restore(self, sid: str, owner: Owner, granted: Granted) -> None:
        if sid not in self._entries:
            self._open(sid, owner, granted)

    async def survey(self, shard: int, scope: str) -> Survey:
        account = self._account(scope)
        now_ms = self._now_ms()
        known = -1 if account.revision is None else account.revision
        again_ms = max(0, account.again_ms - now_ms) if account.again_ms else -1
        wait_ms = max(0, self._epochs.get(shard, ("", 0))[1] - now_ms)
        return Survey(account.version, *self._today([account]), tuple(account.entries), known, again_ms, wait_ms)

    async def load(
        self, shard: int, scope: str, revision: int, survey: Survey, sums: Sequence[int], *, again_ms: int
    ) -> bool:
        account = self._account(scope)
        day, month = self._today([account])
        known = -1 if account.revision is None else account.revision
        if known > revision or (known == revision and not 0 < account.again_ms <= self._now_ms()):
            return True
        if account.version != survey.version or day != survey.day:
            return False
        account.again_ms = 0 if known == revision else self._now_ms() + again_ms
        account.revision, account.day, account.month = revision, day, month
        account.spent = dict(zip(WINDOWS, sums, strict=True))
        account.reserved = dict.fromkeys(WINDOWS, 0)
        for entry in (self._entries[sid] for sid in survey.sids if sid in self._entries):
            if entry.state == "open":
                account.book(entry, account.reserved, entry.tokens, entry.cost)
            else:
                account.book(entry, account.spent, *entry.used)
        return True

    async def due(self, shard: int, limit: int) -> list[Due]:
        now_ms = self._now_ms()
        found: list[Due] = []
        for sid, entry in sorted(self._entries.items(), key=lambda item: item[1].check_ms):
            live = entry.state if entry.state in ("open", "settled") else None
            if live is None or entry.owner.shard != shard or entry.check_ms > now_ms or len(found) == limit:
                continue
            entry.check_ms = now_ms + CHECK_MS
            state: Literal["open", "settled"] = "open" if live == "open" else "settled"
            taken = (entry.day, entry.tokens, entry.cost)
            found.append(Due(sid, state, entry.owner, now_ms - entry.at_ms, entry.charge, *taken))
        return found

    async def epoch(self, shard: int, name: str = "", delay_ms: int = 0) -> str:
        if name and shard not in self._epochs:
            self._epochs[shard] = (name, self._now_ms() + delay_ms)
        return self._epochs.get(shard, ("", 0))[0]

    async def standing(self, shard: int, scope: str) -> Standing:
        account = self._account(scope)
        account.slide(self._now_ms() // 1000)
        account.roll(*self._today([account]))
        loaded = account.revision is not None
        running = sum(self._entries[sid].state == "open" for sid in account.entries)
        spent, reserved = (dict(some) if loaded else {} for some in (account.spent, account.reserved))
        return Standing(account.minute(0), account.minute(1), self._reset_ms(account), running, spent, reserved)

    # Pieces --------------------------------------------------------------------------------------------------------

    def _account(self, name: str) -> _Account:
        return self._accounts.setdefault(name, _Account())

    def _both(self, owner: Owner) -> list[_Account]:
        return [self._account(owner.key), self._account(owner.tenant)]

    def _today(self, accounts: Iterable[_Account]) -> tuple[int, int]:
        day = max([self._now_ms() // 86_400_000, *(account.day for account in accounts)])
        date = _EPOCH_DAY + timedelta(days=day)
        return day, date.year * 100 + date.month

    def _must_load(self, scope: Scope, account: _Account) -> bool:
        if not scope.limits.budgeted:
            return False
        late = 0 < account.again_ms <= self._now_ms() - LATE_MS
        return account.revision is None or account.revision < scope.revision or late

    def _refusal(self, ask: Ask, accounts: list[_Account], day: int) -> Refused | None:
        pairs = list(zip(ask.scopes, accounts, strict=True))
        rates = self._rates(ask.scopes)
        for index, (scope, account) in enumerate(pairs):
            for name, window in zip(BUDGETS, WINDOWS, strict=True):
                most, taken = getattr(scope.limits, name), account.spent[window] + account.reserved[window]
                asked = ask.tokens if window[1] == "t" else ask.cost
                if most is not None and (taken + asked > most or taken >= most):
                    spent, reserved = account.spent[window], account.reserved[window]
                    return Refused("budget", index, name, most, spent, reserved, day, rates=rates)
        for index, (scope, account) in enumerate(pairs):
            if refused := self._too_fast(index, scope, account, ask, rates):
                return refused
        for index, (scope, account) in enumerate(pairs):
            running = sum(self._entries[sid].state == "open" for sid in account.entries)
            if scope.limits.concurrent is not None and running >= scope.limits.concurrent:
                return Refused("busy", index, "concurrent", scope.limits.concurrent, rates=rates)
        return None

    def _too_fast(
        self, index: int, scope: Scope, account: _Account, ask: Ask, rates: tuple[Rate, ...]
    ) -> Refused | None:
        requests, tokens = scope.limits.requests_per_minute, scope.limits.tokens_per_minute
        if tokens is not None and ask.tokens > tokens:
            return Refused("large", index, "tokens_per_minute", tokens, rates=rates)
        if requests == 0:
            return Refused("large", index, "requests_per_minute", 0, rates=rates)
        waits = []
        for place, what, limit, asked in (
            (0, "requests_per_minute", requests, 1),
            (1, "tokens_per_minute", tokens, ask.tokens),
        ):
            if limit is not None and (over := account.minute(place) + asked - limit) > 0:
                waits.append((account.wait_ms(place, over, self._now_ms()), what, limit))
        if not waits:
            return None
        wait_ms, what, limit = max(waits, key=lambda wait: wait[0])
        return Refused("rate", index, what, limit, wait_ms=wait_ms, rates=rates)

    def _rates(self, scopes: Iterable[Scope]) -> tuple[Rate, ...]:
        rates = []
        for scope in scopes:
            account, limits = self._account(scope.name), scope.limits
            counted = (account.minute(0), account.minute(1))
            requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
            rates.append(Rate(requests, counted[0], tokens, counted[1], self._reset_ms(account)))
        return tuple(rates)

    def _reset_ms(self, account: _Account) -> int:
        return (max(account.slots) + WINDOW_S + 1) * 1000 - self._now_ms() if account.slots else 0

    def _granted(self, entry: _Entry, scopes: Iterable[Scope]) -> Granted:
        return Granted(entry.tokens, entry.cost, entry.slot, entry.day, entry.month, self._rates(scopes))

    def _open(self, sid: str, owner: Owner, taken: Granted) -> _Entry:
        now_ms = self._now_ms()
        entry = _Entry(owner, taken.tokens, taken.cost, taken.slot, taken.day, taken.month, now_ms, now_ms + CHECK_MS)
        self._entries[sid] = entry
        for account in self._both(owner):
            account.version += 1
            account.entries.add(sid)
            account.roll(*self._today([account]))
            account.book(entry, account.reserved, taken.tokens, taken.cost)
        return entry
