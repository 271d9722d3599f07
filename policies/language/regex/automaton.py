"""Finds a pattern in a text in linear time: a deterministic automaton, built while it reads and kept within a budget.

A state is the set of places in the program where a match may stand. It is a dict from character to next state, so that
a step whose outcome is known is one look-up in C. What lies between two characters is judged once both are known.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from enum import IntEnum
from functools import reduce
from itertools import chain
from operator import getitem
from typing import Final

from policies.language.regex.classes import NEWLINE, WORD
from policies.language.regex.program import Found, Program, Read, Split, Test
from policies.language.regex.ranges import Ranges, contains
from policies.language.regex.tree import Place

BUDGET: Final = 20_000
"""What an automaton may keep: places in all states, and transitions. It forgets all of it beyond."""
_BLOCK: Final = 32
"""Characters between two looks at whether the matter is settled."""

_SETTLED: Final = 256
"""Characters that a state remembers when its verdict is given."""


class Side(IntEnum):
    """What is on one side of a place between characters, as far as the program's tests tell it apart."""

    OTHER = 0
    WORD = 1
    NEWLINE = 2
    EDGE = 3
    """The start or the end of the text."""


def _holds(place: Place, before: Side, after: Side) -> bool:
    match place:
        case Place.TEXT_START:
            return before is Side.EDGE
        case Place.TEXT_END:
            return after is Side.EDGE
        case Place.LINE_START:
            return before in (Side.EDGE, Side.NEWLINE)
        case Place.LINE_END:
            return after in (Side.EDGE, Side.NEWLINE)
        case Place.WORD_EDGE:
            return (before is Side.WORD) != (after is Side.WORD)
        case Place.NO_WORD_EDGE:
            return (before is Side.WORD) == (after is Side.WORD)


class Alphabet:
    """Splits all characters into classes that no set of the program tells apart; a class goes by its number."""

    def __init__(self, sets: Iterable[Ranges]) -> None:
        ends = chain.from_iterable((low, high + 1) for ranges in sets for low, high in ranges)
        self._starts = sorted({0, *ends})

    def class_of(self, char: str) -> int:
        """The class of a character."""
        return bisect_right(self._starts, ord(char)) - 1

    def member(self, class_: int) -> int:
        """A code point of the class."""
        return self._starts[class_]


class State(dict[str, "State"]):
    """`places`: where a match may stand, before what takes no character; `before`: what was read last.

    `verdict`: the answer, whatever follows; None while it is open.
    """

    __slots__ = ("automaton", "before", "by_class", "places", "verdict")

    def __init__(self, automaton: Automaton, places: tuple[int, ...], before: Side) -> None:
        self.automaton = automaton
        self.places = places
        self.before = before
        self.by_class: dict[int, State] = {}
        self.verdict: bool | None = None

    def __missing__(self, char: str) -> State:
        if self.verdict is None:
            return self.automaton.step(self, char)
        if len(self) < _SETTLED:
            self[char] = self
        return self


class Automaton:
    """The automaton of one program. `visited`: instructions looked at so far, the measure of its work.

    Threads may share it: a state that was forgotten still works, and at worst something is built twice.
    """

    def __init__(self, program: Program, anchored: bool, budget: int = BUDGET) -> None:
        places = program.places()
        self._code = program.code
        self._again = () if anchored else (program.start,)
        self._lines = not places.isdisjoint({Place.LINE_START, Place.LINE_END})
        self._words = not places.isdisjoint({Place.WORD_EDGE, Place.NO_WORD_EDGE})
        self._sets = program.sets
        self._alphabet = Alphabet(
            (*program.sets, *([NEWLINE] if self._lines else []), *([WORD] if self._words else []))
        )
        self._states: dict[tuple[tuple[int, ...], Side], State] = {}
        self._budget = budget
        self.kept = 0
        self.visited = 0
        self._yes, self._no = State(self, (), Side.OTHER), State(self, (), Side.OTHER)
        self._yes.verdict, self._no.verdict = True, False
        self._start = State(self, (program.start,), Side.EDGE)

    def search(self, text: str) -> bool:
        """Whether the pattern is found anywhere in `text`."""
        state = self._start
        for at in range(0, len(text), _BLOCK):
            state = reduce(getitem, text[at : at + _BLOCK], state)
            if state.verdict is not None:
                return state.verdict
        return self._reached(state, Side.EDGE) is None

    def step(self, state: State, char: str) -> State:
        """The state after `char`; remembered in `state`."""
        class_ = self._alphabet.class_of(char)
        following = state.by_class.get(class_)
        if following is None:
            following = self._following(state, self._alphabet.member(class_))
        if self.kept >= self._budget:
            self._forget()
        self.kept += 1
        state.by_class[class_] = state[char] = following
        return following

    def _following(self, state: State, point: int) -> State:
        side = self._side(point)
        reads = self._reached(state, side)
        if reads is None:
            return self._yes
        holding = {number for number in {read.set for read in reads} if contains(self._sets[number], point)}
        places = {read.then for read in reads if read.set in holding}
        places.update(self._again)
        return self._state(tuple(sorted(places)), side) if places else self._no

    def _side(self, point: int) -> Side:
        if self._lines and contains(NEWLINE, point):
            return Side.NEWLINE
        return Side.WORD if self._words and contains(WORD, point) else Side.OTHER

    def _reached(self, state: State, after: Side) -> list[Read] | None:
        """All that may read the next character, which is `after`; None when the pattern has matched."""
        reads: list[Read] = []
        waiting = list(state.places)
        seen = set(waiting)
        while waiting:
            instruction = self._code[waiting.pop()]
            self.visited += 1
            then: tuple[int, ...] = ()
            match instruction:
                case Found():
                    return None
                case Read():
                    reads.append(instruction)
                case Split():
                    then = instruction.then
                case Test() if _holds(instruction.place, state.before, after):
                    then = (instruction.then,)
            fresh = [place for place in then if place not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
        return reads

    def _state(self, places: tuple[int, ...], before: Side) -> State:
        known = self._states.get((places, before))
        if known is None:
            known = self._states[places, before] = State(self, places, before)
            self.kept += len(places)
        return known

    def _forget(self) -> None:
        """Drop all states; emptied, so that they do not hold each other in memory."""
        for state in (self._start, *self._states.values()):
            state.clear()
            state.by_class.clear()
        self._states = {}
        self.kept = 0
