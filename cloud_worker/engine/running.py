"""Running: the requests that have blocks: those that read, those that join a reading, those that answer. And who of
them has to wait again when another needs the room.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from cloud_worker.engine.ledger import Ledger
from cloud_worker.engine.priority import Weights, left, score, standing
from cloud_worker.engine.requests import Request
from cloud_worker.engine.tables import Tables
from cloud_worker.engine.waiting import WaitingLine
from cloud_worker.engine.work import BLOCK_TOKENS, BlockCopy


class Running:
    """Each is in one of `reading` (prompt, replay), `joined` (its prompt's end is read by another in the step that is
    planned) and `answering` (one row a step). `growing` are those whose next row has no block of its own yet.
    """

    def __init__(self, tables: Tables, line: WaitingLine, ledger: Ledger, weights: Weights) -> None:
        self._tables, self._line, self._ledger, self._weights = tables, line, ledger, weights
        self.clock = 0
        """Tokens read or said for the first time."""
        self.step = 0
        """Counts plans."""
        self.reading: dict[str, Request] = {}
        self.joined: dict[str, Request] = {}
        self.answering: dict[str, Request] = {}
        self.growing: list[Request] = []
        self.put_back_ids: list[str] = []
        """Since the last plan was handed out."""
        self.preemptions = 0

    def __len__(self) -> int:
        return len(self.reading) + len(self.joined) + len(self.answering)

    def __iter__(self) -> Iterator[Request]:
        yield from (*self.reading.values(), *self.joined.values(), *self.answering.values())

    def answer(self, request: Request) -> None:
        """The logits behind all its tokens are there: from now on it is a row in every step."""
        request.begin_rows()
        request.room_ends = len(request.prompt_ids) if request.forked else request.capacity
        self.answering[request.id] = request

    def separate(self, joined: Collection[str], told: Collection[str]) -> None:
        """Those that joined a reading go on alone; those of whom nothing was told wait again."""
        for request_id in joined:
            request = self.joined.get(request_id)
            if request is None:
                continue
            if request_id in told:
                self.answer(self.joined.pop(request_id))
            else:
                self.put_back(request)

    def leave(self, request: Request) -> None:
        """It runs no more, and its blocks are free."""
        for place in (self.answering, self.reading, self.joined):
            place.pop(request.id, None)
        self._tables.free(request)

    def put_back(self, request: Request) -> None:
        """Recompute preemption: it waits again, and keeps what it said; its prompt's tiles may survive in the pool."""
        self.leave(request)
        request.furthest = max(request.furthest, request.total)
        request.preemptions += 1
        request.put_back_in = self.step
        self.preemptions += 1
        self.put_back_ids.append(request.id)
        self._line.push(request)

    def grow(self) -> list[BlockCopy]:
        """Blocks for the rows of those at the end of theirs; where there is no room, the last in rank is put back."""
        growing, self.growing = self.growing, []
        copies: list[BlockCopy] = []
        for request in growing:
            while self.answering.get(request.id) is request and not self._tables.grow(request, copies):
                self.put_back(min((*self.reading.values(), *self.answering.values()), key=self._rank))
            request.room_ends = request.capacity
        return copies

    def make_way(self, request: Request, planned: Collection[str], *, kept: bool) -> bool:
        """Put one back whose tenant and tier stand clearly worse, if reading it again costs less than waiting would.
        Mostly nobody stands worse than the tenant that was served most would with the lowest tier of those that run.

        Waiting costs the rows that the others take until the first of them is thought to end. When it is a slot that is
        wanted, and no blocks, the whole tiles of a prompt are `kept` and need not be read again.
        """
        least = standing(request, self._weights) - self._weights.hysteresis
        running = (*self.answering.values(), *self.reading.values())
        lowest = min((each.tier for each in running), default=0)
        if self._weights.tier * lowest - self._weights.debt * self._ledger.most_served() >= least:
            return False
        gain = min(map(left, self.answering.values()), default=0) * len(self.answering)
        worse = [
            each
            for each in running
            if standing(each, self._weights) < least
            and each.preemptions < self._weights.most_preemptions
            and _lost(each, kept=kept) < gain
            and each.id not in planned
        ]
        if worse:
            self.put_back(min(worse, key=self._rank))
        return bool(worse)

    def reading_score(self, request: Request) -> float:
        """Among those that read: by age since it got its place."""
        return score(request, request.admitted, self.clock, self._weights)

    def _rank(self, request: Request) -> tuple[float, int]:
        """Among all, when one has to go: by age since it came."""
        return score(request, request.arrived, self.clock, self._weights), -request.number


def _lost(request: Request, *, kept: bool) -> int:
    """Tokens that would have to be read again, were it put back."""
    tiles = len(request.reusable) * BLOCK_TOKENS if kept else 0
    return max(0, request.read - tiles) if request.read < len(request.prompt_ids) else request.total - tiles
