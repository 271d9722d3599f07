"""Coverage of a policy by its own tests: which rules held and did not hold, which clauses were seen true and false.

A clause is a part of a condition that `&&`, `||` and `!` join. The tests are run here, but not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from policies.decide import Policy
from policies.facts import typical_facts
from policies.language.tracing import clauses_of
from policies.language.typed import Const, Typed
from policies.positions import Positions
from policies.trace import RuleTrace, Tracer, clause_text, place_of


@dataclass(frozen=True, slots=True)
class ClauseCoverage:
    """How often the tests saw one clause true and false. constant: it can be only one of the two."""

    text: str
    line: int
    column: int
    seen_true: int
    seen_false: int
    constant: bool = False


@dataclass(frozen=True, slots=True)
class RuleCoverage:
    """How often one rule held, was tried and did not hold, in the tests."""

    rule_id: str
    line: int
    matched: int
    not_matched: int
    clauses: tuple[ClauseCoverage, ...]


@dataclass(frozen=True, slots=True)
class Uncovered:
    """Something that no test shows. what: "never matched", "never passed over", "never true" or "never false"."""

    what: str
    rule_id: str
    text: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.what}: {self.text} (rule {self.rule_id})"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a policy its tests show. goals: what could be shown; reached: how much of that was."""

    rules: tuple[RuleCoverage, ...]
    uncovered: tuple[Uncovered, ...]
    goals: int
    tests: int

    @property
    def reached(self) -> int:
        """Goals that some test reaches."""
        return self.goals - len(self.uncovered)

    @property
    def percent(self) -> float:
        """Share of the goals that is reached, 0 to 100; 100 where there is no goal."""
        return 100.0 * self.reached / self.goals if self.goals else 100.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told = {"percent": round(self.percent, 1), "goals": self.goals, "reached": self.reached, "tests": self.tests}
        rules = [asdict(rule) for rule in self.rules]
        return {**told, "rules": rules, "uncovered": [asdict(each) for each in self.uncovered]}


def measure(policy: Policy) -> Coverage:
    """The coverage of a policy by the tests in its document."""
    seen = _Seen(policy.tracer)
    for case in policy.document.tests:
        seen.run(typical_facts(case.given))
    positions = Positions.of(policy.source)
    rules = tuple(_covered(seen, place, positions) for place in range(len(policy.document.rules)))
    goals = [goal for rule, tree in zip(rules, policy.trees.rules, strict=True) for goal in _goals(rule, tree)]
    missed = tuple(uncovered for count, uncovered in goals if not count)
    return Coverage(rules, missed, len(goals), len(policy.document.tests))


class _Seen:
    """What became of rules and clauses over many facts. A case that fails in evaluation shows what it looked at."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.rules: Counter[tuple[int, str]] = Counter()
        self.clauses: Counter[tuple[int, bool]] = Counter()
        self.first_clause = dict[int, int]()
        for index, (place, _) in enumerate(tracer.clauses):
            self.first_clause.setdefault(place, index)

    def run(self, facts: dict[str, Any]) -> None:
        trace = self.tracer.trace(facts)
        if trace.place is None:
            self._note_failed(trace.rules())
            return
        self.rules.update((place, "not_matched") for place in range(trace.place))
        self.rules[trace.place, "matched"] += 1
        self.clauses.update((index, value) for index, value in enumerate(trace.values) if value in (True, False))

    def _note_failed(self, rules: tuple[RuleTrace, ...]) -> None:
        for place, rule in enumerate(rules):
            self.rules[place, rule.outcome] += 1
            for index, clause in enumerate(rule.clauses, self.first_clause[place]):
                if clause.value is not None:
                    self.clauses[index, clause.value] += 1


def _covered(seen: _Seen, place: int, positions: Positions) -> RuleCoverage:
    rule, tree = seen.tracer.rules[place], seen.tracer.trees.rules[place]
    clauses: list[ClauseCoverage] = []
    for index, clause in enumerate(clauses_of(tree), seen.first_clause[place]):
        line, column = place_of(rule.when, clause, positions)
        times = seen.clauses[index, True], seen.clauses[index, False]
        clauses.append(ClauseCoverage(clause_text(rule, clause), line, column, *times, isinstance(clause, Const)))
    matched, passed = seen.rules[place, "matched"], seen.rules[place, "not_matched"]
    return RuleCoverage(rule.id, rule.line, matched, passed, tuple(clauses))


def _goals(rule: RuleCoverage, tree: Typed) -> Iterator[tuple[int, Uncovered]]:
    """What the tests should show of one rule, each with how often they do. A lone clause is its rule."""
    first = rule.clauses[0]
    yield rule.matched, Uncovered("never matched", rule.rule_id, first.text, rule.line, 1)
    if not isinstance(tree, Const):
        yield rule.not_matched, Uncovered("never passed over", rule.rule_id, first.text, rule.line, 1)
    if len(rule.clauses) == 1:
        return
    for clause in rule.clauses:
        if not clause.constant:
            where = rule.rule_id, clause.text, clause.line, clause.column
            yield clause.seen_true, Uncovered("never true", *where)
            yield clause.seen_false, Uncovered("never false", *where)
