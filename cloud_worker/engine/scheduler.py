"""Scheduler: what the model does next. Who waits is waiting.py's, who runs running.py's, blocks are tables.py's.

submit ─► waiting ──room──► reading (prompt tiles, replay) ──first token──► answering (a row a step, and drafts)
             ▲                        │                                         │
             └────── put back ◄───────┴─────────────────────────────────────────┘      end, cancel ─► gone
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cloud_worker.engine.blocks import BlockPool, blocks_for
from cloud_worker.engine.ledger import Ledger
from cloud_worker.engine.priority import Weights
from cloud_worker.engine.requests import Request
from cloud_worker.engine.running import Running
from cloud_worker.engine.tables import Tables
from cloud_worker.engine.waiting import WaitingLine
from cloud_worker.engine.work import BLOCK_TOKENS, Segment, StepPlan
from edgewise.wire.errors import BadRequestError, ConflictError, TierRefusedError

RETRY_EVERY: Final = 8
"""Steps after which one that found no room is tried again, if no room came before."""
SPEED_MEMORY: Final = 0.95
"""Weight of the past in the moving average of tokens/s."""

Wish = Callable[[Request], Sequence[int]]
"""The draft ids that a request, which is answering, would like to have verified."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes: requests that run at once; tokens of a step (rows, prompt tiles, drafts); tokens that may wait; tokens of
    an answer for which there must be room when it gets its place.

    Raises BadRequestError when a step has no room for a row of each that runs and one prompt tile.
    """

    slots: int = 32
    step_tokens: int = 128
    queue_tokens: int = 1 << 18
    reserve_tokens: int = 128

    def __post_init__(self) -> None:
        if min(self.slots, self.queue_tokens, self.reserve_tokens) < 1 or self.step_tokens < self.slots + BLOCK_TOKENS:
            raise BadRequestError(
                f"Impossible limits {self}",
                where="scheduler",
                expected=f"all at least 1, and step_tokens at least slots + {BLOCK_TOKENS}",
            )


class Scheduler:
    """Plans step after step over one pool. One thread: `plan`, the model, `advance`; submit and cancel between them.

    The same calls give the same plans. Nothing here decides a token, so no plan can change what is said.
    """

    def __init__(self, pool: BlockPool, limits: Limits | None = None, weights: Weights | None = None) -> None:
        self.pool, self.limits, self.weights = pool, limits or Limits(), weights or Weights()
        self.tokens_per_s = 0.0
        self._came = 0
        self._tables = Tables(pool, self.limits.reserve_tokens)
        self._ledger = Ledger(self.weights.credit)
        self._line = WaitingLine(self._ledger, self.weights, self.limits.queue_tokens)
        self._running = Running(self._tables, self._line, self._ledger, self.weights)
        self._requests: dict[str, Request] = {}
        self._pieces: list[tuple[Request, Segment]] = []
        self._admitted: list[str] = []
        self._tried = ("", 0, 0, 0)
        """Who found no room, with how many running, how many blocks to be had, in which step."""

    @property
    def clock(self) -> int:
        """Tokens read or said for the first time."""
        return self._running.clock

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def preemptions(self) -> int:
        return self._running.preemptions

    @property
    def waiting(self) -> int:
        return len(self._line)

    @property
    def answering(self) -> Collection[Request]:
        """Those that are a row in every step, each with the last token that it said; the others read or wait."""
        return self._running.answering.values()

    @property
    def prompt_tokens_next(self) -> int:
        """About how many prompt tokens the next step will read, by those that read already."""
        left = sum(max(0, len(request.prompt_ids) - request.read) for request in self._running.reading.values())
        return max(0, min(left, self.limits.step_tokens - len(self._running.answering)))

    @property
    def reused_tokens(self) -> int:
        """Prompt tokens that were not read, because others had left or shared their rows."""
        return self._tables.reused_tokens

    def submit(self, request: Request) -> None:
        """Let a request wait. Raises ConflictError for a known id, BadRequestError for an empty prompt or nothing to
        say, TierRefusedError when it can never have room, or when too much waits (with retry_after_s).
        """
        if request.id in self._requests:
            raise ConflictError(f"The request {request.id} is here already", expected="a new id")
        if not request.prompt_ids or len(request.output_ids) >= request.max_tokens:
            raise BadRequestError("There is nothing to read or to say", expected="a prompt, and tokens left to say")
        if blocks_for(request.most) > self.pool.count:
            raise TierRefusedError(
                f"This answer may need {request.most} tokens of key-value memory",
                where="cloud engine",
                expected=f"at most {self.pool.count * BLOCK_TOKENS}, prompt included",
                remedy="ask for fewer max_tokens, or give the engine more memory for its cache",
            )
        self._line.check_room(request, self.tokens_per_s, self.limits.slots - self.running)
        self._ledger.open(request)
        self._requests[request.id] = request
        request.arrived, request.number = self.clock, self._came
        self._came += 1
        self._line.push(request)

    def cancel(self, request_id: str) -> None:
        """Forget a request; its blocks are free at once. Unknown ones are ignored."""
        request = self._requests.pop(request_id, None)
        if request is not None:
            if request.waiting:
                self._line.remove(request)
            else:
                self._running.leave(request)
            self._ledger.close(request)

    def plan(self, wish: Wish | None = None) -> StepPlan:
        """What the next step does; no segments when there is nothing to do. Rows first, then prompts, then drafts."""
        running = self._running
        for request in list(running.joined.values()):
            running.put_back(request)
        running.step += 1
        self._admitted, self._pieces = [], []
        copies = running.grow() if running.growing else []
        spent = self._read() if running.reading or len(self._line) else 0
        if wish is not None:
            self._add_drafts(wish, self.limits.step_tokens - len(running.answering) - spent)
        segments = [request.row for request in running.answering.values()]
        segments += [segment for _, segment in self._pieces]
        put_back, running.put_back_ids = tuple(running.put_back_ids), []
        return StepPlan(segments, put_back, tuple(self._admitted), copies)

    def advance(self, said: Mapping[str, Sequence[int]], ended: Collection[str] = (), seconds: float = 0.0) -> None:
        """How the planned step went: the ids that each request said, which are over, how long it took.

        A request whose logits were wanted and that is in neither is planned again. Unknown ids are ignored.
        """
        before = self.clock
        for request, segment in self._pieces:
            self._was_read(request, segment, said, ended)
        self._pieces = []
        answering, growing, cost, news = self._running.answering, self._running.growing, self.weights.output_cost, 0
        for request_id, ids in said.items():
            if not ids or request_id not in answering:
                continue
            request = answering[request_id]
            count = len(ids)
            news += count
            request.output_ids += ids
            request.account.served += cost * count
            row = request.row
            row.start += count
            row.ids = (ids[-1],)
            row.wanted = 1
            if row.start >= request.room_ends:
                growing.append(request)
        self._running.clock += news
        for request_id in ended:
            if request_id in self._requests:
                self._ledger.learn(self._requests[request_id])
                self.cancel(request_id)
        if seconds > 0 and self.clock > before:
            speed = (self.clock - before) / seconds
            past = SPEED_MEMORY if self.tokens_per_s else 0.0
            self.tokens_per_s = past * self.tokens_per_s + (1 - past) * speed

    def check_integrity(self) -> None:
        """Every block is accounted for, every request in one place. Raises AssertionError."""
        running = list(self._running)
        self._tables.check_integrity(running)
        self._line.check_integrity()
        places = [each.id for each in running] + [each.id for each in self._line]
        assert sorted(places) == sorted(self._requests), "a request is nowhere, or in two places"
        assert len(running) <= self.limits.slots, "more run than there are slots"
        assert sum(each.requests for each in self._ledger.active.values()) == len(places), "accounts count otherwise"

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self) -> int:
        """Deal the tokens of the step that rows leave to those who read, and to who comes in; how many were dealt.

        The best in rank takes all it can use: prompts one after the other give earlier first tokens than all at once.
        Nobody passes the first in line when there is no room for it, or it would never come.
        """
        budget = self.limits.step_tokens - len(self._running.answering)
        first = self._line.first(self.clock)
        reading = sorted(self._running.reading.values(), key=self._running.reading_score)
        whole = budget
        while budget >= BLOCK_TOKENS and (reading or first):
            if first and not (reading and self._running.reading_score(reading[-1]) >= first[1]):
                if self._admit(first[0]):
                    budget -= self._read_piece(first[0], budget)
                    first = self._line.first(self.clock)
                else:
                    first = None
            elif (request := reading.pop()).blocks:
                budget -= self._read_piece(request, budget)
        return whole - budget

    def _read_piece(self, request: Request, most: int) -> int:
        """Plan as many of its next tokens as the step allows: whole tiles up to the prompt's end, or replayed rows."""
        prompt, start = len(request.prompt_ids), request.read
        if start < prompt:
            stop = prompt if prompt - start <= most else start + most // BLOCK_TOKENS * BLOCK_TOKENS
            wanted = int(stop == prompt and not request.output_ids)
            segment = Segment(request.id, request.blocks, start, request.prompt_ids[start:stop], True, wanted)
            segment.also = self._join_alike(request) if wanted else ()
        else:
            stop = min(request.total, start + most)
            ids = tuple(request.output_ids[start - prompt : stop - prompt])
            segment = Segment(request.id, request.blocks, start, ids, False, int(stop == request.total))
        self._pieces.append((request, segment))
        return stop - start

    def _was_read(
        self, request: Request, segment: Segment, said: Mapping[str, Sequence[int]], ended: Collection[str]
    ) -> None:
        if segment.also:
            self._running.separate(segment.also, {*said, *ended})
        unheard = segment.wanted and request.id not in said and request.id not in ended
        if unheard or self._running.reading.get(request.id) is not request:
            return
        fresh = max(0, segment.stop - request.furthest)
        request.furthest += fresh
        request.account.served += self.weights.prompt_cost * fresh
        self._running.clock += fresh
        if segment.prompt:
            self._tables.read_to(request, segment.stop)
        request.read = segment.stop
        if segment.wanted:
            self._running.answer(self._running.reading.pop(request.id))

    # -- coming in ----------------------------------------------------------------------------------------------------

    def _admit(self, request: Request) -> bool:
        """Give the first in line its place, if need be that of a running one; not in the step in which it lost it."""
        if request.put_back_in == self._running.step or self._tried_already(request):
            return False
        if self._tables.is_being_read(request):
            return False
        full = len(self._running) >= self.limits.slots
        if (full and not self._make_way(request, kept=True)) or not (
            self._tables.place(request)
            or (not full and self._make_way(request, kept=False) and self._tables.place(request))
        ):
            self._tried = (request.id, self.running, self.pool.room, self._running.step)
            return False
        self._come_in(request)
        self._running.reading[request.id] = request
        return True

    def _come_in(self, request: Request) -> None:
        self._line.remove(request)
        request.admitted = request.account.admitted = self.clock
        self._admitted.append(request.id)

    def _tried_already(self, request: Request) -> bool:
        """Whether it found no room a moment ago, and none has come since."""
        name, running, room, step = self._tried
        same = name == request.id and len(self._running) >= running and self.pool.room <= room
        return same and self._running.step < step + RETRY_EVERY

    def _make_way(self, request: Request, *, kept: bool) -> bool:
        planned = {each.id for each, _ in self._pieces}
        return self._running.make_way(request, planned, kept=kept)

    def _join_alike(self, reader: Request) -> tuple[str, ...]:
        """Whoever waits with the very same prompt has it read too, when there is room and nobody is overdue."""
        joined: list[str] = []
        if self._line.anyone_overdue(self.clock):
            return ()
        for request in self._line.alike(reader):
            if len(self._running) >= self.limits.slots or not self._tables.join(request, reader):
                break
            self._come_in(request)
            self._running.joined[request.id] = request
            joined.append(request.id)
        return tuple(joined)

    # -- drafts -------------------------------------------------------------------------------------------------------

    def _add_drafts(self, wish: Wish, room: int) -> None:
        """Rows for as many draft ids as the step has room for, behind those that will be said in any case."""
        for request in self._running.answering.values():
            row = request.row
            if ids := wish(request) if room > 0 else ():
                most = min(room, request.max_tokens - len(request.output_ids) - 1)
                drafts = self._with_room(request, ids[:most])
                row.ids = (row.ids[0], *drafts)
                row.wanted = len(row.ids)
                room -= len(drafts)
            elif row.wanted > 1:
                row.ids, row.wanted = row.ids[:1], 1

    def _with_room(self, request: Request, drafts: Sequence[int]) -> Sequence[int]:
        """As many as fit into its blocks, and into one more that nobody needs."""
        if request.row.start + len(drafts) >= request.capacity:
            self._tables.extend(request, request.capacity + 1)
            request.room_ends = request.capacity
        return drafts[: request.capacity - request.row.start - 1]
