"""Marks, one for each judged exercise, and what is counted over groups of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cloud_worker.forge.curriculum import Exercise, Language


@dataclass(frozen=True, slots=True)
class Mark:
    """One judged exercise.

    ids: the reply without its end token. n_tokens: what was said, the end token with it. mean_logprob, min_logprob:
    over those tokens (natural logarithm). answer_logprob: sum over the reference answer with its end token, which the
    model is given; answer_tokens: how many those are.
    """

    exercise: Exercise
    reply: str
    right: bool
    ids: tuple[int, ...] = ()
    n_tokens: int = 0
    mean_logprob: float = 0.0
    min_logprob: float = 0.0
    answer_logprob: float = 0.0
    answer_tokens: int = 0

    @property
    def ended(self) -> bool:
        """Whether the reply ended by itself: its end token is counted too."""
        return self.n_tokens > len(self.ids)


@dataclass(frozen=True, slots=True)
class Cell:
    """Right answers out of all, for one group."""

    right: int
    total: int

    @property
    def percent(self) -> float:
        """Share of right answers, in percent."""
        return 100 * self.right / self.total


Key = tuple[str, int, Language]


def tally(
    marks: Iterable[Mark], key: Callable[[Exercise], Key] = lambda e: (e.family, e.grade, e.language)
) -> dict[Key, Cell]:
    """Cells by family, grade and language (or by another key)."""
    groups: dict[Key, list[bool]] = defaultdict(list)
    for mark in marks:
        groups[key(mark.exercise)].append(mark.right)
    return {group: Cell(sum(flags), len(flags)) for group, flags in sorted(groups.items())}


def by_grade(marks: Iterable[Mark]) -> dict[Key, Cell]:
    """Cells by grade and language over all families."""
    return tally(marks, lambda exercise: ("all", exercise.grade, exercise.language))


def perplexity(marks: Sequence[Mark]) -> float:
    """exp of the mean negative log-likelihood of a token of the reference answers; infinite without tokens."""
    tokens = sum(mark.answer_tokens for mark in marks)
    return math.exp(-sum(mark.answer_logprob for mark in marks) / tokens) if tokens else math.inf


def chance(exercises: Sequence[Exercise]) -> float:
    """Percent right of always giving one answer: the best among the three commonest reference answers."""
    counts: dict[str, int] = defaultdict(int)
    for exercise in exercises:
        counts[exercise.answer] += 1
    commonest = sorted(counts, key=lambda answer: -counts[answer])[:3]
    accepted = [sum(exercise.check.accepts(answer) for exercise in exercises) for answer in commonest]
    return 100 * max(accepted, default=0) / max(1, len(exercises))
