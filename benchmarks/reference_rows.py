"""Rows of the reference models' benchmark from judged items. Pure: the same items give the same rows.

Exact match and intervals by model live here; what compares models is in reference_comparisons.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from benchmarks.reference_items import LEAST
from benchmarks.report import Better, Floor, Row, row
from cloud_worker.forge.curriculum import Exercise, Language
from cloud_worker.forge.evaluate import Mark, chance, perplexity
from cloud_worker.forge.evaluate.statistics import wilson

BY_CELL: Final = "exact match by cell"
BOUNDS: Final = ("lower bound", "upper bound")
DETAILS: Final = (BY_CELL, *BOUNDS, "chance level", "cascade accuracy", "interval")
PHRASINGS: Final = {False: "known", True: "held-out"}

Choice = Callable[[Exercise], bool]


def chosen(marks: Sequence[Mark], choice: Choice) -> list[Mark]:
    """The marks whose exercises are chosen."""
    return [mark for mark in marks if choice(mark.exercise)]


def percent(marks: Sequence[Mark]) -> float:
    """Percent right; nan without items."""
    return 100 * sum(mark.right for mark in marks) / len(marks) if marks else math.nan


def too_few(samples: int, least: int) -> str:
    """Why a floor cannot be judged on so few items; empty when there are enough."""
    return f"{samples} exercises; a floor is judged on {least} or more" if samples < least else ""


def missing(metric: str, condition: str, unit: str, floor: Floor, reason: str) -> Row:
    """A row that does not hold, because a model or a figure is not there."""
    better: Better = "higher" if floor.op == ">=" else "lower"
    return row(metric, condition, unit, better, math.nan, floor=floor, reason=reason)


def kept(metric: str, condition: str, ours: float, beside: tuple[str, float], count: int, floor: Floor | None) -> Row:
    """Percent right beside what it was before (its name and percent), judged on LEAST exercises or more."""
    peer, before = beside
    reason = too_few(count, LEAST) if floor else ""
    return row(
        metric,
        condition,
        "%",
        "higher",
        ours,
        peer=peer,
        peer_value=before,
        samples=count,
        floor=floor,
        reason=reason,
    )


def exact_match(model: str, marks: Sequence[Mark], graded: bool, least: int = LEAST) -> Iterator[Row]:
    """Percent right by grade, language and phrasing with Wilson bounds; `graded` models carry the floor of grade 1."""
    for held_out, words in PHRASINGS.items():
        for grade in sorted({mark.exercise.grade for mark in marks}):
            for language in Language:
                key = (grade, language, held_out)
                group = chosen(marks, lambda e, key=key: (e.grade, e.language, e.held_out) == key)  # type: ignore[misc]
                if group:
                    wanted = Floor("ours", ">=", 95) if graded and grade == 1 and not held_out else None
                    condition = f"{model}, grade {grade}, {language}, {words} phrasings"
                    yield from _share(condition, group, wanted, least)
    if graded:
        yield from _ungraded(model, marks)


def _ungraded(model: str, marks: Sequence[Mark]) -> Iterator[Row]:
    """A language without known exercises of grade 1 does not hold its floor."""
    for language in Language:
        if not chosen(marks, lambda e, to=language: (e.grade, e.language, e.held_out) == (1, to, False)):  # type: ignore[misc]
            condition = f"{model}, grade 1, {language}, known phrasings"
            yield missing("exact match", condition, "%", Floor("ours", ">=", 95), "no exercises of this group")


def _share(condition: str, group: Sequence[Mark], floor: Floor | None, least: int) -> Iterator[Row]:
    reason = too_few(len(group), least) if floor else ""
    count = len(group)
    yield row("exact match", condition, "%", "higher", percent(group), samples=count, floor=floor, reason=reason)
    for name, bound in zip(BOUNDS, wilson(sum(mark.right for mark in group), count), strict=True):
        yield row(name, f"exact match, {condition}", "%", "higher", 100 * bound, samples=count)


def cells(model: str, marks: Sequence[Mark]) -> Iterator[Row]:
    """Percent right by family × grade × language × phrasing; the peer is always giving the commonest answer."""
    groups: dict[tuple[str, int, str, bool], list[Mark]] = {}
    for mark in marks:
        one = mark.exercise
        groups.setdefault((one.family, one.grade, str(one.language), one.held_out), []).append(mark)
    for (family, grade, language, held_out), group in groups.items():
        level = chance([mark.exercise for mark in group])
        condition = f"{model}, {family}, grade {grade}, {language}, {PHRASINGS[held_out]} phrasings"
        share = percent(group)
        yield row(BY_CELL, condition, "%", "higher", share, peer="chance", peer_value=level, samples=len(group))


def held_out_gap(model: str, marks: Sequence[Mark], least: int = LEAST) -> Iterator[Row]:
    """Points lost between known and held-out phrasings, by language."""
    for language in Language:
        known, unseen = (
            chosen(marks, lambda e, held=held, language=language: (e.held_out, e.language) == (held, language))  # type: ignore[misc]
            for held in (False, True)
        )
        gap, count = percent(known) - percent(unseen), min(len(known), len(unseen))
        wanted, reason = Floor("ours", "<=", 15), too_few(count, least)
        metric, condition = "known minus held-out phrasings", f"{model}, {language}"
        yield row(metric, condition, "points", "lower", gap, samples=count, floor=wanted, reason=reason)


def perplexities(model: str, marks: Sequence[Mark]) -> Iterator[Row]:
    """Perplexity of the reference answers by language and phrasing."""
    for held_out, words in PHRASINGS.items():
        for language in Language:
            key = (language, held_out)
            group = chosen(marks, lambda e, key=key: (e.language, e.held_out) == key)  # type: ignore[misc]
            if group:
                count = sum(mark.answer_tokens for mark in group)
                condition = f"{model}, {language}, {words} phrasings"
                yield row("answer perplexity", condition, "", "lower", perplexity(group), samples=count)


def variety(marks: Sequence[Mark]) -> Row:
    """How many of the items are different questions: small sets repeat, and intervals do not know it."""
    different = len({tuple(mark.exercise.turns()[:-1]) for mark in marks})
    share = 100 * different / len(marks) if marks else math.nan
    return row("different questions", "share of all test items", "%", "higher", share, samples=len(marks))
