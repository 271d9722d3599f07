"""The registry of families: name, grades, share of the training mix, task type, chance level. Draws live elsewhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cloud_worker.forge.curriculum import (
    chat,
    clock,
    code,
    compare,
    convert,
    counting,
    dialogue,
    edge_cases,
    expressions,
    facts,
    home,
    json_objects,
    listing,
    lists,
    long_answers,
    lookup,
    phrases,
    records,
    relation,
    sums,
    transform,
)
from cloud_worker.forge.curriculum.exercise import Exercise, Kind, Language, Task

Draw = Callable[[random.Random, Language, int, bool], Exercise]


@dataclass(frozen=True, slots=True)
class Family:
    """A task family.

    grades: a grade named twice is drawn twice as often in training. share: weight among families of its kind.
    chance: the share of right answers, 0..1, that picking at random among what the prompt offers gets (mean of the
    grades), or always giving the commonest answer where it offers nothing.
    """

    name: str
    grades: tuple[int, ...]
    share: float
    draw: Draw
    task: Task = Task.OTHER
    chance: float = 0.0
    kind: Kind = Kind.SINGLE

    def exercise(self, rng: random.Random, language: Language, grade: int, held_out: bool) -> Exercise:
        """One exercise, with the family's task type and kind."""
        return replace(self.draw(rng, language, grade, held_out), task=self.task, kind=self.kind)


_ALL: Final = (1, 2, 2, 3, 3, 4, 4)

FAMILIES: Final[tuple[Family, ...]] = (
    # Talk and facts.
    Family("greeting", (1,), 4, chat.draw_greeting, Task.GREETING, 0.09),
    Family("identity", (1,), 4, chat.draw_identity, Task.OTHER, 0.1),
    Family("capital", (1, 1, 2), 4, facts.draw_capital, Task.FACTUAL, 0.03),
    Family("colour", (1,), 2, facts.draw_colour, Task.FACTUAL, 0.05),
    Family("calendar", (1, 1, 2), 3, facts.draw_calendar, Task.FACTUAL, 0.1),
    Family("animal", (1, 1, 2), 3, facts.draw_animal, Task.FACTUAL, 0.05),
    Family("science", (1,), 3, facts.draw_science, Task.FACTUAL, 0.03),
    Family("opposite", (1,), 2.5, facts.draw_opposite, Task.FACTUAL, 0.02),
    Family("calendar_steps", _ALL, 4, facts.draw_calendar_steps, Task.FACTUAL, 0.1),
    Family("translate", (1, 1, 1, 2, 3, 4), 5, phrases.draw_translate, Task.FACTUAL, 0.02),
    # Questions about a given text.
    Family("extract", _ALL, 6, records.draw_extract, Task.FACTUAL, 0.23),
    Family("lookup", _ALL, 6, lookup.draw_lookup, Task.FACTUAL, 0.23),
    Family("long_lookup", (3, 4), 0.4, lookup.draw_long_lookup, Task.FACTUAL, 0.03),
    Family("relation", _ALL, 6, relation.draw_relation, Task.FACTUAL, 0.26),
    # Numbers.
    Family("sum", (1, 2, 2, 3, 3, 3, 4, 4), 10, sums.draw_sum, Task.FACTUAL, 0.02, Kind.SINGLE),
    Family("chain", (1, 2, 3, 4), 5, sums.draw_chain, Task.FACTUAL, 0.06, Kind.SINGLE),
    Family("compare", (1, 2, 3, 4), 4, compare.draw_compare, Task.FACTUAL, 0.46, Kind.SINGLE),
    Family("convert", (1, 2, 3, 4), 5, convert.draw_convert, Task.FACTUAL, 0.01, Kind.SINGLE),
    Family("clock", (1, 2, 3, 4), 5, clock.draw_clock, Task.FACTUAL, 0.08, Kind.SINGLE),
    Family("expr", (1, 2, 3, 4), 6, expressions.draw_expr, Task.CODE, 0.1, Kind.SINGLE),
    Family("tally", (1, 2, 3, 4), 5, counting.draw_tally, Task.FACTUAL, 0.29, Kind.SINGLE),
    Family("pick", (1, 2, 3, 4), 4, counting.draw_pick, Task.FACTUAL, 0.03, Kind.SINGLE),
    # Work on lists, words and forms.
    Family("sort", (1, 2, 3, 4), 6, lists.draw_sort, Task.OTHER, 0.0, Kind.TASK),
    Family("reverse", (1, 2, 3, 4), 6, lists.draw_reverse, Task.OTHER, 0.0, Kind.TASK),
    Family("copy", (1, 2, 3, 4), 5, lists.draw_copy, Task.OTHER, 0.0, Kind.TASK),
    Family("count", (1, 2, 3, 4), 3, counting.draw_count, Task.OTHER, 0.1, Kind.TASK),
    Family("transform", _ALL, 6, transform.draw_transform, Task.OTHER, 0.02, Kind.TASK),
    Family("listing", _ALL, 4, listing.draw_listing, Task.OTHER, 0.1, Kind.TASK),
    Family("json", _ALL, 5, json_objects.draw_json, Task.OTHER, 0.0, Kind.TASK),
    Family("home", _ALL, 5, home.draw_home, Task.TOOL, 0.01, Kind.TASK),
    Family("code", _ALL, 6, code.draw_code, Task.CODE, 0.01, Kind.TASK),
    Family("almanac", (2,), 0.8, long_answers.draw_almanac, Task.OTHER, 0.1, Kind.TASK),
    Family("story", (3,), 1, long_answers.draw_story, Task.CREATIVE, 0.0, Kind.TASK),
    Family("poem", (2,), 0.8, long_answers.draw_poem, Task.CREATIVE, 0.08, Kind.TASK),
    # Talk that leans on earlier turns.
    Family("name", _ALL, 3, dialogue.draw_name, Task.OTHER, 0.03, Kind.MULTI),
    Family("memory", _ALL, 4, dialogue.draw_memory, Task.OTHER, 0.5, Kind.MULTI),
    Family("follow_up", _ALL, 3, dialogue.draw_follow_up, Task.FACTUAL, 0.03, Kind.MULTI),
    # What is no clean question.
    Family("limits", (1,), 2, chat.draw_limits, Task.OTHER, 1.0, Kind.EDGE_CASE),
    Family("unclear", (1,), 1.5, edge_cases.draw_unclear, Task.OTHER, 1.0, Kind.EDGE_CASE),
    Family("unknown", (1,), 2.5, edge_cases.draw_unknown, Task.OTHER, 1.0, Kind.EDGE_CASE),
    Family("impossible", (1,), 1.5, edge_cases.draw_impossible, Task.OTHER, 1.0, Kind.EDGE_CASE),
    Family("messy", _ALL, 4, edge_cases.draw_messy, Task.FACTUAL, 0.03, Kind.EDGE_CASE),
)
