"""How many ids to draft for one answer: as many as give the most tokens per second, by acceptance and cost. Pure.

A draft that is accepted makes the match before it one id longer, so the chance of each draft is kept by the length of
its match (1, 2, 3 and more), decayed. Drafts come from edgewise.speculation, costs from step_costs.py; verifying is
sequence.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge_agent.runtime.step_costs import StepCosts
from edgewise.speculation import LONGEST_MATCH, MOST_DRAFTS, Draft, PromptLookup

FIRST_CHANCES: Final = (0.3, 0.5, 0.7)
"""Chance that a draft holds after a match of 1, 2 and 3 ids, before this answer has shown any."""
FIRST_WEIGHT: Final = 2.0
DECAY: Final = 0.95
"""Of what was seen, at every new draft of that match length: about the last 20 count."""
EXPLORATION: Final = 0.01
"""Share of the time that may go, by what is known, into trying what does not look best: so that a choice can change."""
MOST_CREDIT: Final = 3.0
"""Calls of one row for which exploration may save up."""


class Acceptance:
    """How often drafts of one answer held, by the length of the match before them."""

    def __init__(self) -> None:
        self._held = [0.0] * LONGEST_MATCH
        self._tried = [0.0] * LONGEST_MATCH

    def chances(self, draft: Draft) -> tuple[float, ...]:
        """For each drafted id the chance that it holds if those before it did."""
        return tuple(self._chance(draft.matched + place) for place in range(len(draft.ids)))

    def observe(self, draft: Draft, held: int) -> None:
        """`held` of the drafted ids were what was drawn; the one after them, if there is one, was not."""
        for place in range(min(held + 1, len(draft.ids))):
            cell = _cell(draft.matched + place)
            self._held[cell] = DECAY * self._held[cell] + (place < held)
            self._tried[cell] = DECAY * self._tried[cell] + 1

    def _chance(self, matched: int) -> float:
        cell = _cell(matched)
        return (self._held[cell] + FIRST_WEIGHT * FIRST_CHANCES[cell]) / (self._tried[cell] + FIRST_WEIGHT)


class Speculation:
    """The drafts of one answer. `ids` are its prompt and what was said so far; `costs` are the device's."""

    def __init__(self, costs: StepCosts, ids: Sequence[int]) -> None:
        self._costs = costs
        self._lookup = PromptLookup(ids)
        self._acceptance = Acceptance()
        self._credit = 0.0
        self._steps = 0
        self._last_run = dict.fromkeys(range(MOST_DRAFTS + 1), 0)
        self._counts = [worth_drafting(costs, most) for most in range(MOST_DRAFTS + 1)]

    def draft(self, room: int) -> Draft:
        """The ids to verify in the next call, at most `room` of them."""
        found = self._lookup.draft(min(room, MOST_DRAFTS))
        if not found.ids:
            self._save(0)
            return found
        chosen = self._choose(self._acceptance.chances(found))
        self._steps += 1
        self._last_run[chosen] = self._steps
        return Draft(found.ids[:chosen], found.matched) if chosen else Draft()

    def verified(self, draft: Draft, said: Sequence[int], held: int) -> None:
        """A step said `said`, the first `held` of them as drafted."""
        self._acceptance.observe(draft, held)
        self._lookup.extend(said)

    def _choose(self, chances: Sequence[float]) -> int:
        """What gives the most tokens for its cost; or what was not run for longest, where the time that it may lose has
        been saved up."""
        gains = {count: expected_tokens(chances[:count]) for count in self._counts[len(chances)]}
        best, rate = 0, 0.0
        for count, gain in gains.items():
            if gain > rate * (price := self._costs.of(1 + count)):
                best, rate = count, gain / price
        self._save(best)
        losses = {count: self._costs.of(1 + count) - gains[count] / rate for count in gains if count != best}
        affordable = [count for count, loss in losses.items() if loss <= MOST_CREDIT]
        other = min(affordable, key=self._last_run.__getitem__, default=best)
        if other == best or losses[other] > self._credit:
            return best
        self._credit -= losses[other]
        return other

    def _save(self, count: int) -> None:
        """A share of the next call's cost is there for exploring."""
        self._credit = min(MOST_CREDIT, self._credit + EXPLORATION * self._costs.of(1 + count))


def worth_drafting(costs: StepCosts, most: int) -> list[int]:
    """How many ids may be worth drafting, up to `most`: of several that make calls of as many rows, the most."""
    run_rows = [costs.run_rows(1 + count) for count in range(most + 1)]
    return [count for count in range(most + 1) if count == most or run_rows[count + 1] != run_rows[count]]


def expected_tokens(chances: Sequence[float]) -> float:
    """Tokens of one call whose drafts hold with these chances, each given that those before it held: 1 + Σ Π."""
    total, all_held = 1.0, 1.0
    for chance in chances:
        all_held *= chance
        total += all_held
    return total


def _cell(matched: int) -> int:
    return min(matched, LONGEST_MATCH) - 1
