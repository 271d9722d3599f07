"""Can these clauses all hold? A search with unit propagation that jumps back over choices which had no part in a fault.

Variables have a few values each, kept as bits (finite-domain SAT; the jumps after Prosser 1993). No policies here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.analysis.formulas import Clause


@dataclass(slots=True)
class Budget:
    """What the searches of one analysis may spend, all together, so that it ends within seconds whatever it is given.

    dead_ends: choices taken back. lessons: searches begun again after a term was worth something else.
    """

    dead_ends: int = 10_000
    lessons: int = 500

    def meet_dead_end(self) -> bool:
        """Take one; False when there is none left."""
        self.dead_ends -= 1
        return self.dead_ends >= 0

    def learn(self) -> bool:
        """Take one; False when there is none left."""
        self.lessons -= 1
        return self.lessons >= 0


@dataclass(frozen=True, slots=True)
class Model:
    """The clauses can hold: with any value of each variable's set, as bits."""

    values: Sequence[int]


@dataclass(frozen=True, slots=True)
class Core:
    """The clauses of these groups alone cannot hold together; groups by their position."""

    groups: tuple[int, ...]


@dataclass(slots=True)
class _Choice:
    """trail: its length before the choice. place: clauses before this one hold since then."""

    trail: int
    variable: int
    values: int
    place: int


def solve(
    full: Sequence[int], groups: Sequence[Sequence[Clause]], preferred: Sequence[int], budget: Budget
) -> Model | Core | None:
    """A model, the groups that clash, or None when the budget is spent.

    full: all values of each variable. preferred: the values to try first, as bits.
    """
    return _Search(full, groups, preferred).run(budget)


class _Search:
    """`_reasons[v]`: why v has no more values than `_values[v]`: bits of groups, and above them of choices."""

    def __init__(self, full: Sequence[int], groups: Sequence[Sequence[Clause]], preferred: Sequence[int]) -> None:
        self._values = list(full)
        self._reasons = [0] * len(self._values)
        self._preferred = preferred
        self._groups = len(groups)
        self._clauses = [(clause, 1 << at) for at, group in enumerate(groups) for clause in group]
        self._holding: dict[int, list[int]] = {}
        for at, (clause, _) in enumerate(self._clauses):
            for variable, _ in clause:
                self._holding.setdefault(variable, []).append(at)
        self._trail: list[tuple[int, int, int]] = []
        self._choices: list[_Choice] = []

    def run(self, budget: Budget) -> Model | Core | None:
        clash = self._propagate(list(range(len(self._clauses) - 1, -1, -1)))
        while True:
            while clash:
                if clash >> self._groups == 0:
                    return Core(tuple(at for at in range(self._groups) if clash >> at & 1))
                if not budget.meet_dead_end():
                    return None
                clash = self._jump_back(clash)
            choice = self._next_choice()
            if choice is None:
                return Model(self._values)
            self._choices.append(choice)
            why = 1 << (self._groups + len(self._choices) - 1)
            clash = self._narrow(choice.variable, choice.values, why)

    def _jump_back(self, clash: int) -> int:
        """Undo up to the last choice that had a part, and exclude it for the reasons that remain."""
        level = clash.bit_length() - 1 - self._groups
        choice = self._choices[level]
        del self._choices[level:]
        while len(self._trail) > choice.trail:
            variable, values, reasons = self._trail.pop()
            self._values[variable], self._reasons[variable] = values, reasons
        why = clash & ~(1 << (self._groups + level))
        return self._narrow(choice.variable, self._values[choice.variable] & ~choice.values, why)

    def _narrow(self, variable: int, values: int, why: int) -> int:
        self._set(variable, values, why)
        return self._propagate(list(self._holding.get(variable, ())))

    def _set(self, variable: int, values: int, why: int) -> None:
        self._trail.append((variable, self._values[variable], self._reasons[variable]))
        self._values[variable] = values
        self._reasons[variable] |= why

    def _propagate(self, ahead: list[int]) -> int:
        """Draw what follows; 0, or the reasons of a clause that cannot hold."""
        values, reasons, clauses = self._values, self._reasons, self._clauses
        while ahead:
            clause, why = clauses[ahead.pop()]
            open_variable = open_values = -1
            for variable, wanted in clause:
                left = values[variable] & wanted
                if left:
                    if open_variable >= 0 or left == values[variable]:
                        break
                    open_variable, open_values = variable, left
            else:
                for variable, _ in clause:
                    if variable != open_variable:
                        why |= reasons[variable]
                if open_variable < 0:
                    return why
                self._set(open_variable, open_values, why)
                ahead += self._holding[open_variable]
        return 0

    def _next_choice(self) -> _Choice | None:
        """The first clause that does not hold yet, and the values that would make it hold."""
        start = self._choices[-1].place if self._choices else 0
        for place in range(start, len(self._clauses)):
            clause, _ = self._clauses[place]
            if not any(0 != self._values[v] & wanted == self._values[v] for v, wanted in clause):
                variable, values = self._best(clause)
                return _Choice(len(self._trail), variable, values, place)
        return None

    def _best(self, clause: Clause) -> tuple[int, int]:
        """A switch where one comes first, else what leaves a preferred value, else the first that may hold."""
        may = [(v, left) for v, wanted in clause if (left := self._values[v] & wanted)]
        plain = len(self._preferred)
        if may[0][0] >= plain:
            return may[0]
        return next((each for each in may if each[0] < plain and each[1] & self._preferred[each[0]]), may[0])
