"""What a candidate would change over recorded decisions: by rule and mode, with the cost, and what explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from control_plane.policy_replay.columns import first_of_each
from control_plane.policy_replay.context import smallest_context
from control_plane.policy_replay.decide import Decisions, decide
from control_plane.policy_replay.recording import Recording
from control_plane.policy_replay.terms import other_terms
from policies import Policy
from policies.modes import MODES

_COUNTS: Final = ("decisions", "unchanged", "other_rule", "other_terms", "errors", "unfaithful")
_MAX_DENSE: Final = 1_000_000
"""Changes are counted in a table of so many cells at most; beyond it they are sorted."""

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RuleChange:
    """Decisions that go from one rule or mode to another.

    cost: what their answers cost, as far as recorded; expected_cost: what as many would at the average recorded cost of
    the new mode. None where nothing is recorded.
    example: the row of the first such decision; stream_id: of it. context: what explains it (see `smallest_context`).
    """

    recorded_rule: str
    recorded_mode: str
    rule: str
    mode: str
    count: int
    cost: float | None
    expected_cost: float | None
    example: int
    stream_id: str
    context: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "recorded": {"rule": self.recorded_rule, "mode": self.recorded_mode},
            "replayed": {"rule": self.rule, "mode": self.mode},
            "count": self.count,
            "cost": self.cost,
            "expected_cost": self.expected_cost,
            "stream_id": self.stream_id,
            "context": dict(self.context),
        }


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a candidate makes of recorded decisions.

    unchanged: those that keep their mode; other_rule: of them, those that do so by another rule. other_terms: of
        them, those that get other models, time limits, pace or budget, as far as these were recorded.
    errors: those that onError decides, or that an invariant changes. unfaithful: those of the policy in force that it
    would not repeat, because a fact was not recorded: where it is not 0, read the changes with care.
    modes, rules: how many each would decide. changes: the most frequent first.
    """

    decisions: int
    unchanged: int
    other_rule: int
    other_terms: int
    errors: int
    unfaithful: int
    modes: Mapping[str, int]
    rules: Mapping[str, int]
    changes: tuple[RuleChange, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        changes = [change.to_dict() for change in self.changes]
        return {**counts, "modes": dict(self.modes), "rules": dict(self.rules), "changes": changes}


def replay_columns(candidate: Policy, recording: Recording, active: Policy | None = None) -> Outlook:
    """Decide every recorded decision again. `active`: the policy in force, to know what it would not repeat."""
    found = decide(candidate, recording.facts)
    before = _renamed(recording.mode.words, tuple(map(str, MODES)))[recording.mode.codes]
    same_mode = before == found.mode
    same_rule = _renamed(recording.rule.words, found.rules)[recording.rule.codes] == found.rule
    terms = None if recording.terms is None else other_terms(candidate, recording.facts, found, recording.terms)
    return Outlook(
        decisions=recording.facts.rows,
        unchanged=int(np.count_nonzero(same_mode)),
        other_rule=int(np.count_nonzero(same_mode & ~same_rule)),
        other_terms=0 if terms is None else int(np.count_nonzero(same_mode & terms)),
        errors=int(np.count_nonzero(found.failed | found.clamped)),
        unfaithful=0 if active is None else _unfaithful(active, recording, before),
        modes=_counts(tuple(map(str, MODES)), found.mode),
        rules=_counts(found.rules, found.rule),
        changes=_Changes(candidate, recording, found, active).all(~(same_mode & same_rule)),
    )


def _unfaithful(active: Policy, recording: Recording, before: Codes) -> int:
    ours = np.array([word == active.digest for word in recording.digest.words], np.bool_)[recording.digest.codes]
    if not ours.any():
        return 0
    return int(np.count_nonzero(ours & (decide(active, recording.facts).mode != before)))


def _renamed(words: tuple[str, ...], known: tuple[str, ...]) -> Codes:
    """The place of each word among the known ones; -1 for one that is not."""
    places = {word: place for place, word in enumerate(known)}
    return np.array([places.get(word, -1) for word in words], np.int64)


def _counts(words: tuple[str, ...], codes: NDArray[Any]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(words))
    return {word: int(count) for word, count in zip(words, counts, strict=True) if count}


class _Changes:
    """Groups changed decisions by what they were and what they become."""

    def __init__(self, candidate: Policy, recording: Recording, found: Decisions, active: Policy | None) -> None:
        self._candidate = candidate
        self._recording = recording
        self._found = found
        self._active = active
        self._mean_cost = self._mean_costs()

    def all(self, changed: NDArray[np.bool_]) -> tuple[RuleChange, ...]:
        """One entry for each kind of change, the most frequent first."""
        rows = np.flatnonzero(changed)
        groups, count = self._groups(rows)
        first, sizes = rows[first_of_each(groups, count)], np.bincount(groups, minlength=count)
        costs = self._costs(rows, groups, count)
        order = sorted(range(count), key=lambda group: (-sizes[group], first[group]))
        return tuple(self._change(int(first[group]), int(sizes[group]), costs[group]) for group in order)

    def _groups(self, rows: NDArray[Any]) -> tuple[NDArray[Any], int]:
        """A code for what each row was and becomes, dense, and how many codes there are."""
        recording, found = self._recording, self._found
        key = recording.rule.codes[rows].astype(np.int64)
        key = key * len(recording.mode.words) + recording.mode.codes[rows]
        key = key * len(found.rules) + found.rule[rows]
        key = key * len(MODES) + found.mode[rows]
        cells = len(recording.rule.words) * len(recording.mode.words) * len(found.rules) * len(MODES)
        if cells > _MAX_DENSE:
            kinds, groups = np.unique(key, return_inverse=True)
            return groups, len(kinds)
        there = np.bincount(key, minlength=cells) > 0
        return (np.cumsum(there) - 1)[key], int(np.count_nonzero(there))

    def _costs(self, rows: NDArray[Any], groups: NDArray[Any], count: int) -> list[float | None]:
        if self._recording.cost is None:
            return [None] * count
        cost = self._recording.cost[rows]
        known = ~np.isnan(cost)
        sums = np.bincount(groups[known], cost[known], count)
        seen = np.bincount(groups[known], minlength=count)
        return [float(total) if number else None for total, number in zip(sums, seen, strict=True)]

    def _mean_costs(self) -> dict[str, float]:
        """The average recorded cost of each mode's answers."""
        recording = self._recording
        if recording.cost is None:
            return {}
        known = ~np.isnan(recording.cost)
        codes, count = recording.mode.codes[known], len(recording.mode.words)
        sums, seen = np.bincount(codes, recording.cost[known], count), np.bincount(codes, minlength=count)
        triples = zip(recording.mode.words, sums, seen, strict=True)
        return {word: float(total / number) for word, total, number in triples if number}

    def _change(self, row: int, count: int, cost: float | None) -> RuleChange:
        recording, found = self._recording, self._found
        rule, mode = found.rules[found.rule[row]], str(MODES[found.mode[row]])
        before = recording.rule.words[recording.rule.codes[row]], recording.mode.words[recording.mode.codes[row]]
        mean = self._mean_cost.get(mode)
        return RuleChange(
            *before,
            rule,
            mode,
            count,
            cost,
            None if mean is None else mean * count,
            row,
            recording.ids[row] if len(recording.ids) else "",
            self._context(row, before, (rule, mode)),
        )

    def _context(self, row: int, before: tuple[str, str], after: tuple[str, str]) -> Mapping[str, Any]:
        """The smallest context; of the policy in force, too, where it repeats what was recorded."""
        facts = self._recording.facts.row(row)
        wanted = [(self._candidate, after)]
        if self._active is not None and _outcome(self._active, facts) == before:
            wanted.append((self._active, before))
        return smallest_context(facts, lambda world: all(_outcome(policy, world) == want for policy, want in wanted))


def _outcome(policy: Policy, facts: Mapping[str, Any]) -> tuple[str, str]:
    decision = policy.decide(facts)
    return decision.rule_id, str(decision.mode)
