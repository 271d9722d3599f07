"""Drafts that come from outside, from a device as a rule: ids alone, with the place in the answer where they begin.

Nothing that is pushed is believed: it is a guess like any other. What is late, malformed or too much is dropped and
counted. `push` may be called from any thread; the rest is the engine's thread's.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgewise.generation.state import GenerationState

MOST_PUSHED: Final = 64
"""Ids of one push, and ids kept for one answer."""
MOST_WAITING: Final = 4
"""Pushes for one answer that the engine has not looked at; of more, the oldest is dropped."""


@dataclass(slots=True)
class RemoteCounts:
    """Pushes since the start, by what became of them."""

    taken: int = 0
    malformed: int = 0
    unknown: int = 0
    stale: int = 0
    crowded: int = 0


@dataclass(slots=True)
class _Answer:
    """Output ids begin at `prompt_tokens`; `ids` from output index `start` on are the draft kept."""

    prompt_tokens: int
    start: int = 0
    ids: tuple[int, ...] = ()


class RemoteDrafter:
    """Drafts pushed for running answers of a model with `vocab_size` ids.

    said       7 8 9 |            three output ids are known here
    pushed     start 1:  8 9 4 5  what was said is as pushed: 4 5 is the draft
    pushed     start 1:  8 8 4 5  it went another way: dropped
    """

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._answers: dict[str, _Answer] = {}
        self._lock = threading.Lock()
        self._waiting: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
        self.counts = RemoteCounts()

    def push(self, request: str, start: int, ids: Sequence[int]) -> bool:
        """Guess that output ids `start`, `start` + 1, ... of the answer are `ids`; whether it was taken in."""
        well_formed = self._is_well_formed(start, ids)
        with self._lock:
            if not well_formed:
                self.counts.malformed += 1
                return False
            if (waiting := self._waiting.get(request)) is None:
                self.counts.unknown += 1
                return False
            if len(waiting) == MOST_WAITING:
                del waiting[0]
                self.counts.crowded += 1
            waiting.append((start, tuple(ids)))
            self.counts.taken += 1
            return True

    def begin(self, request: str, state: GenerationState) -> None:
        self._answers[request] = _Answer(len(state.prompt_ids))
        with self._lock:
            self._waiting[request] = []

    def draft(self, request: str, ids: Sequence[int], most: int) -> tuple[int, ...]:
        answer = self._answers.get(request)
        if answer is None:
            return ()
        with self._lock:
            pushed, self._waiting[request] = self._waiting[request], []
        for start, more in pushed:
            _add(answer, start, more)
        return self._next(answer, ids)[: max(most, 0)]

    def accepted(self, request: str, drafted: int, held: int) -> None:
        """Nothing to learn: what was said is compared at the next draft."""

    def forget(self, request: str) -> None:
        self._answers.pop(request, None)
        with self._lock:
            self._waiting.pop(request, None)

    def _next(self, answer: _Answer, ids: Sequence[int]) -> tuple[int, ...]:
        """What is kept behind the ids that were said, if they are what was guessed."""
        said = len(ids) - answer.prompt_tokens
        passed = said - answer.start
        if passed < 0 or not answer.ids:
            return ()
        guessed = answer.ids[:passed]
        first = answer.prompt_tokens + answer.start
        if tuple(ids[first : first + len(guessed)]) != guessed or passed > len(answer.ids):
            answer.ids = ()
            self.counts.stale += 1
            return ()
        answer.start, answer.ids = said, answer.ids[passed:]
        return answer.ids

    def _is_well_formed(self, start: object, ids: object) -> bool:
        return (
            _is_id(start)
            and isinstance(ids, list | tuple)
            and 0 < len(ids) <= MOST_PUSHED
            and all(_is_id(each) and each < self._vocab_size for each in ids)
        )


def _add(answer: _Answer, start: int, ids: tuple[int, ...]) -> None:
    """More of the draft where it goes on from it, otherwise instead of it."""
    if answer.ids and start == answer.start + len(answer.ids):
        answer.ids = (answer.ids + ids)[:MOST_PUSHED]
    else:
        answer.start, answer.ids = start, ids


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
