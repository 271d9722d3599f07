"""A stand-in for the model behind the scheduler: says made-up tokens, and knows which rows every block really holds.

It checks what a model could not tell: that each row that a segment attends to is there, of the right text, and was made
by the path that it must have been made by.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cloud_worker.engine.requests import Request
from cloud_worker.engine.scheduler import Scheduler, Wish
from cloud_worker.engine.work import BLOCK_TOKENS, Segment, StepPlan

Row = tuple[str, int]
"""The path that made a row (tile or row), and a hash of the ids up to it and of their salt."""


def token(request: Request, index: int) -> int:
    """The made-up token of an answer; the same in every process."""
    return zlib.crc32(f"{request.id} {index}".encode()) % 1000


@dataclass
class TokenEngine:
    """Runs a scheduler: `lengths` gives the tokens after which an answer ends of itself (default: max_tokens).

    `check` follows the content of every block; `right_drafts` is the share of draft tokens that are right.
    """

    scheduler: Scheduler
    lengths: dict[str, int] = field(default_factory=dict)
    check: bool = True
    said: dict[str, list[int]] = field(default_factory=dict)
    """Everything that requests said, those that are over too."""
    requests: dict[str, Request] = field(default_factory=dict)
    first_token_at: dict[str, int] = field(default_factory=dict)
    """Request → the token clock after the step in which it said its first token."""
    admitted_at: dict[str, int] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    work_tokens: int = 0
    """Tokens that went through the model, those read again and drafts included."""
    steps: int = 0
    _arena: dict[int, Row] = field(default_factory=dict)

    def submit(self, request: Request) -> None:
        self.scheduler.submit(request)
        self.requests[request.id] = request
        self.said[request.id] = list(request.output_ids)

    def cancel(self, request_id: str) -> None:
        self.scheduler.cancel(request_id)
        self.requests.pop(request_id, None)

    def step(self, wish: Wish | None = None) -> StepPlan:
        """One step, from plan to advance; the plan as it was before the scheduler used its segments again."""
        plan = self.scheduler.plan(wish)
        for request_id in plan.admitted:
            self.admitted_at.setdefault(request_id, self.scheduler.clock)
        self.read(plan)
        said: dict[str, list[int]] = {}
        ended: list[str] = []
        for segment in plan.segments:
            self.work_tokens += len(segment.ids)
            if segment.wanted:
                for request_id in (segment.request, *segment.also):
                    self._say(request_id, segment, said, ended)
        shown = replace(plan, segments=[replace(each, blocks=tuple(each.blocks)) for each in plan.segments])
        self.scheduler.advance(said, ended)
        self.steps += 1
        for request_id in said:
            self.first_token_at.setdefault(request_id, self.scheduler.clock)
        self.finished.update(ended)
        for request_id in ended:
            del self.requests[request_id]
        return shown

    def run(self, steps: int = 100_000, wish: Wish | None = None) -> None:
        """Until nothing is left to do; AssertionError when that takes more steps, or when nothing moves."""
        for _ in range(steps):
            if not self.requests:
                return
            assert self.step(wish).segments, "requests are there, and nothing is planned"
        raise AssertionError(f"not done after {steps} steps: {sorted(self.requests)}")

    def _say(self, request_id: str, segment: Segment, said: dict[str, list[int]], ended: list[str]) -> None:
        """Its next token, and one more for each draft id that was right."""
        request = self.requests[request_id]
        drafts = segment.ids[len(segment.ids) - segment.wanted + 1 :] if not segment.prompt else ()
        length = min(self.lengths.get(request_id, request.max_tokens), request.max_tokens)
        new: list[int] = []
        for draft in (*drafts, None):
            so_far = len(request.output_ids) + len(new)
            if so_far >= length:
                break
            new.append(token(request, so_far))
            if new[-1] != draft:
                break
        if new:
            said[request_id] = new
            self.said[request_id] += new
        if len(request.output_ids) + len(new) >= length:
            ended.append(request_id)

    def read(self, plan: StepPlan) -> None:
        """What the model does to its memory, with every row checked that a segment attends to."""
        if not self.check:
            return
        for copy in plan.copies:
            for row in range(copy.tokens):
                self._arena[copy.target * BLOCK_TOKENS + row] = self._arena[copy.source * BLOCK_TOKENS + row]
        assert len({segment.request for segment in plan.segments}) == len(plan.segments), "two segments of one request"
        written: set[int] = set()
        for segment in plan.segments:
            self._check_shape(segment, self.requests[segment.request])
            places = self._write(segment)
            assert written.isdisjoint(places), "two segments write into one place"
            written.update(places)
        for segment in plan.segments:
            self._check_seen(segment)

    def _write(self, segment: Segment) -> list[int]:
        """The places of its rows."""
        request, written = self.requests[segment.request], []
        ids = (*request.prompt_ids, *request.output_ids)[: segment.start]
        for each in segment.ids:
            shared = self.scheduler.pool.shared(segment.blocks[len(ids) // BLOCK_TOKENS])
            assert segment.prompt or not shared, "another has that block too"
            written.append(_place(segment, len(ids)))
            ids = (*ids, each)
            self._arena[written[-1]] = ("tile" if segment.prompt else "row", hash((request.salt, ids)))
        return written

    def _check_seen(self, segment: Segment) -> None:
        """What lies before it is the text before it, each part made by its own path."""
        request = self.requests[segment.request]
        ids = (*request.prompt_ids, *request.output_ids)
        for position in range(segment.start):
            path = "tile" if position < len(request.prompt_ids) else "row"
            wanted = (path, hash((request.salt, ids[: position + 1])))
            assert self._arena.get(_place(segment, position)) == wanted, (segment, position)

    @staticmethod
    def _check_shape(segment: Segment, request: Request) -> None:
        prompt, ids = len(request.prompt_ids), (*request.prompt_ids, *request.output_ids)
        assert segment.stop <= len(segment.blocks) * BLOCK_TOKENS, "rows without a block"
        known = segment.ids[: len(ids) - segment.start]
        assert known == ids[segment.start : segment.stop], "other ids than the request has"
        if segment.prompt:
            assert segment.start % BLOCK_TOKENS == 0 and segment.stop <= prompt, "no tile"
            assert segment.stop % BLOCK_TOKENS == 0 or segment.stop == prompt, "a tile ends in the middle"
        else:
            assert segment.start >= prompt, "no row"


def _place(segment: Segment, position: int) -> int:
    """Where the row of a position lies in the arena."""
    return segment.blocks[position // BLOCK_TOKENS] * BLOCK_TOKENS + position % BLOCK_TOKENS


def guesses(engine: TokenEngine, most: int, right: float, rng: random.Random) -> Callable[[Request], Sequence[int]]:
    """A drafter that is right with probability `right` for each of up to `most` ids."""

    def wish(request: Request) -> Sequence[int]:
        begin = len(request.output_ids)
        return [token(request, begin + index) if rng.random() < right else -1 for index in range(rng.randint(0, most))]

    return wish
