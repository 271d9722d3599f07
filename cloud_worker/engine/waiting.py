"""WaitingLine: the requests without room, a heap for each tenant, and a limit to how many tokens may wait.

Among a tenant's own, arrival, work and tier decide; among tenants the whole score of each one's first (priority.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

from cloud_worker.engine.ledger import Ledger
from cloud_worker.engine.priority import Weights, line_key, score_in_line
from cloud_worker.engine.requests import NOT_WAITING, Request
from edgewise.wire.errors import TierRefusedError

LEAST_RETRY_S, MOST_RETRY_S = 1.0, 60.0
OVERDUE = float("inf")
SLACK = 64
"""Entries that a heap may have beside twice those that wait."""
_Heap = list[tuple[float, int, Request]]


class WaitingLine:
    """At most `most_tokens` wait (prompt and longest answer counted), and of one tenant at most as many as still fit
    (dynamic thresholds, Choudhury and Hahne, 1998): alone it has half of the line, and who comes new finds room.

    **The bound.** A request that has waited `weights.overdue` tokens comes before everything but what came before it,
    and while it waits nobody else gets room. What came before it is at most `most_tokens` that waited and
    slots · context tokens that ran (as many again came while a slot was free), so on a clock that counts a token once
    it waits at most

        overdue + a step's tokens + most_tokens + 2 · slots · context tokens

    as long as some token is read or said in a while: the best of those that run is never preempted.
    """

    def __init__(self, ledger: Ledger, weights: Weights, most_tokens: int) -> None:
        self._ledger, self._weights, self._most_tokens = ledger, weights, most_tokens
        self._tickets = count()
        self._by_age: _Heap = []
        self._alike: dict[bytes, dict[str, Request]] = {}
        self._size = 0
        self.tokens = 0
        """What all that wait may come to at most."""

    def __len__(self) -> int:
        return self._size

    def check_room(self, request: Request, tokens_per_s: float, free_slots: int = 0) -> None:
        """Refuse what would wait behind too much: TierRefusedError, with the time in which room should come.

        Those for whom a slot is free do not wait, whatever they may come to: the next step looks at them.
        """
        if self._size < free_slots:
            return
        account = self._ledger.active.get(request.tenant)
        held = account.held if account else 0
        over = held + self.tokens + request.most - self._most_tokens
        if over <= 0:
            return
        wait_s = over / tokens_per_s if tokens_per_s > 0 else LEAST_RETRY_S
        raise TierRefusedError(
            f"The engine's queue is full: {self.tokens} tokens wait, {held} of them of this tenant",
            where="cloud engine",
            expected=f"at most {self._most_tokens} tokens, of one tenant no more than are left",
            remedy="try again after the time given, ask for fewer max_tokens, or let another tier answer",
            retry_after_s=min(max(wait_s, LEAST_RETRY_S), MOST_RETRY_S),
        )

    def push(self, request: Request) -> None:
        """Let a request wait that has an account."""
        account, ticket = request.account, next(self._tickets)
        request.ticket = ticket
        heapq.heappush(account.line, (line_key(request, self._weights), ticket, request))
        heapq.heappush(self._by_age, (request.arrived, ticket, request))
        self._alike.setdefault(request.links[-1], {})[request.id] = request
        self._size += 1
        self.tokens += request.most
        account.held += request.most
        account.waiting += 1

    def remove(self, request: Request) -> None:
        """It waits no longer; its heap entries are thrown away when they come to the top."""
        request.ticket = NOT_WAITING
        alike = self._alike[request.links[-1]]
        del alike[request.id]
        if not alike:
            del self._alike[request.links[-1]]
        self._size -= 1
        self.tokens -= request.most
        request.account.held -= request.most
        request.account.waiting -= 1
        _tidy(self._by_age, self._size)
        _tidy(request.account.line, request.account.waiting)

    def first(self, clock: int) -> tuple[Request, float] | None:
        """Who is next, and its score: OVERDUE for one that age alone has put there."""
        if not self._size:
            return None
        oldest = _top(self._by_age)[2]
        if clock - oldest.arrived >= self._weights.overdue:
            return oldest, OVERDUE
        best, best_score = oldest, -OVERDUE
        for account in self._ledger.active.values():
            if account.waiting:
                key, _, request = _top(account.line)
                value = score_in_line(key, request, clock, self._weights)
                if value > best_score:
                    best, best_score = request, value
        return best, best_score

    def anyone_overdue(self, clock: int) -> bool:
        return bool(self._size) and clock - _top(self._by_age)[0] >= self._weights.overdue

    def alike(self, request: Request) -> list[Request]:
        """Those that wait with the very same prompt and nothing said yet."""
        return [each for each in self._alike.get(request.links[-1], {}).values() if not each.output_ids]

    def __iter__(self) -> Iterator[Request]:
        """In no order that means anything."""
        return (request for alike in self._alike.values() for request in alike.values())

    def check_integrity(self) -> None:
        """Counts are those of the requests that wait; each is in both heaps. Raises AssertionError."""
        waiting = list(self)
        assert len(waiting) == self._size and sum(each.most for each in waiting) == self.tokens, "wrong counts"
        assert all(each.waiting and not each.blocks for each in waiting), "one that waits has blocks, or no ticket"
        aged = {ticket for _, ticket, each in self._by_age if each.ticket == ticket}
        lined = {
            ticket
            for account in self._ledger.active.values()
            for _, ticket, each in account.line
            if each.ticket == ticket
        }
        assert aged == lined == {each.ticket for each in waiting}, "a heap lacks one that waits"
        for account in self._ledger.active.values():
            mine = [each.most for each in waiting if each.account is account]
            assert (len(mine), sum(mine)) == (account.waiting, account.held), "an account counts otherwise"


def _top(heap: _Heap) -> tuple[float, int, Request]:
    """The first that still waits; what no longer does is thrown away on the way."""
    while True:
        entry = heap[0]
        if entry[2].ticket == entry[1]:
            return entry
        heapq.heappop(heap)


def _tidy(heap: _Heap, waiting: int) -> None:
    """Throw all away that no longer waits, once it is the larger part."""
    if len(heap) > 2 * waiting + SLACK:
        heap[:] = [entry for entry in heap if entry[2].ticket == entry[1]]
        heapq.heapify(heap)
