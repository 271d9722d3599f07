"""What recorded answers cost by mode, and what they would cost in another: averages of what was, no prediction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from control_plane.usage.charges import kind_of
from control_plane.usage.limits import FREE, Prices


class Answered(Protocol):
    """A recorded answer, as far as it has a price. No tier: nobody spoke yet; no tokens: it still runs."""

    @property
    def tier(self) -> str | None: ...
    @property
    def prompt_tokens(self) -> int | None: ...
    @property
    def completion_tokens(self) -> int | None: ...


def cost_by(prices: Prices) -> Callable[[Answered], int | None]:
    """What an answer cost, in micro-units; None where nothing has a price, or the answer has not ended."""

    def cost(answer: Answered) -> int | None:
        if prices == FREE or not answer.tier or answer.prompt_tokens is None or answer.completion_tokens is None:
            return None
        return prices.cost(kind_of(answer.tier), answer.prompt_tokens, answer.completion_tokens)

    return cost


@dataclass
class Costs:
    """Recorded costs in micro-units. `moved`: of decisions that would go from one mode to another."""

    spent: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    moved_answers: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, before: str, after: str, cost: int | None) -> None:
        """One decision: its recorded mode, its mode now, and what its answer cost, where that is known."""
        if cost is None:
            return
        self.spent[before] += cost
        self.answers[before] += 1
        if before != after:
            self.moved[before, after] += cost
            self.moved_answers[before, after] += 1

    def of(self, before: str, after: str) -> tuple[int | None, float | None]:
        """What the decisions cost that would go from one mode to another, and what as many cost on average in the
        other; None where nothing is recorded."""
        count = self.moved_answers[before, after]
        if not count:
            return None, None
        mean = self.spent[after] / self.answers[after] if self.answers[after] else None
        return self.moved[before, after], None if mean is None else count * mean

    @property
    def total(self) -> int | None:
        """What all of them cost."""
        return self.spent.total() if self.answers else None

    @property
    def expected(self) -> float | None:
        """What all of them would cost; None where a mode that decisions would go to has no recorded cost."""
        if self.total is None:
            return None
        changes = [self.of(*pair) for pair in self.moved_answers]
        differences = [new - old for old, new in changes if old is not None and new is not None]
        return self.total + sum(differences) if len(differences) == len(changes) else None
