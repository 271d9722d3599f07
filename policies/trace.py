"""What a policy looked at on the way to one decision: its rules, their clauses, the facts they read.

Compiled code notes the values; texts and facts are found only when a trace is shown. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, Final

from policies.build import Trees
from policies.document import Document, Expression, Rule
from policies.facts import FactValue
from policies.language.compile import inputs_of
from policies.language.declarations import Declaration, InputError, read_input
from policies.language.evaluate import Evaluator
from policies.language.tracing import UNSEEN, Traced, clauses_of, compile_traced
from policies.language.typed import Typed
from policies.language.values import EvaluationError, Value
from policies.positions import Positions

_LONGEST_PLACED: Final = 4096
"""Parts of longer expressions are told by the start of the expression: finding a place takes a walk up to it."""


@dataclass(frozen=True, slots=True)
class ClauseTrace:
    """What became of one clause: a part of a condition that `&&`, `||` and `!` join.

    value: None when it was not looked at, or failed; then `error` says why.
    facts: fact name → value that the clause read (None: absent).
    """

    text: str
    looked_at: bool
    value: bool | None = None
    error: str = ""
    facts: Mapping[str, FactValue | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told = {"text": self.text, "looked_at": self.looked_at, "value": self.value, "error": self.error}
        return {**told, "facts": dict(self.facts)}


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """What became of one rule: "matched", "not_matched", "error" or "not_reached", with the facts it read.

    values: fact name → value that the rule saw (None: absent). line: where the rule stands in the document.
    """

    rule_id: str
    when: str
    outcome: str
    values: Mapping[str, FactValue | None]
    line: int
    clauses: tuple[ClauseTrace, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told = {"rule_id": self.rule_id, "when": self.when, "outcome": self.outcome, "values": dict(self.values)}
        return {**told, "line": self.line, "clauses": [clause.to_dict() for clause in self.clauses]}


class Tracer:
    """The conditions of one policy, compiled so that every clause is noted.

    clauses: each with the position of its rule, in the order of the values that `choose` gives.
    """

    def __init__(self, document: Document, trees: Trees) -> None:
        self.rules = document.rules
        self.trees = trees
        self.choose: Traced
        self.choose, self.clauses = compile_traced(trees.rules, trees.variables)

    def trace(self, facts: object) -> Trace:
        """The trace for any facts, also such that fail. Never raises."""
        known = snapshot(facts)
        try:
            return Trace(self, known, *self.choose(known))
        except EvaluationError as error:
            return Trace(self, known, None, (), str(error))
        except Exception as error:  # noqa: BLE001 - callers hand in anything
            return Trace(self, known, None, (), f"the facts cannot be read: {type(error).__name__}")


def snapshot(facts: object) -> dict[str, Any]:
    """A copy of the facts, for callers may change theirs; empty where they are no readable mapping."""
    try:
        return dict(facts) if isinstance(facts, Mapping) else {}
    except Exception:  # noqa: BLE001 - a mapping of the caller's own class
        return {}


class Trace:
    """What was looked at for one decision. Made in the hot path, so that it only holds on to things; do not change it.

    place: position of the rule that held, the number of rules when none did, None when evaluation failed.
    values: what `compile_traced` gives for each of the tracer's clauses; empty when evaluation failed.
    error: why it failed, else empty.
    """

    __slots__ = ("error", "facts", "place", "tracer", "values")

    def __init__(
        self, tracer: Tracer, facts: dict[str, Any], place: int | None, values: Sequence[Any], error: str = ""
    ) -> None:
        self.tracer = tracer
        self.facts = facts
        self.place = place
        self.values = values
        self.error = error

    def rules(self) -> tuple[RuleTrace, ...]:
        """What became of every rule, in order. Takes milliseconds."""
        if self.place is not None:
            return self._succeeded(self.place)
        bad = _bad_inputs(self.facts, self.tracer.trees)
        return self._misled(bad) if bad else self._failed()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"error": self.error, "rules": [rule.to_dict() for rule in self.rules()]}

    def _succeeded(self, chosen: int) -> tuple[RuleTrace, ...]:
        clauses: dict[int, list[ClauseTrace]] = {}
        for (place, clause), value in zip(self.tracer.clauses, chain(self.values, repeat(UNSEEN)), strict=False):
            clauses.setdefault(place, []).append(self._clause(place, clause, value))
        outcomes = {-1: "not_matched", 0: "matched", 1: "not_reached"}
        return tuple(
            _told(rule, outcomes[(place > chosen) - (place < chosen)], clauses.get(place, ()))
            for place, rule in enumerate(self.tracer.rules)
        )

    def _misled(self, bad: Mapping[str, str]) -> tuple[RuleTrace, ...]:
        """Facts are judged before any rule: the fault is with the rules that read a bad one, and none was reached."""
        out: list[RuleTrace] = []
        for place, (rule, tree) in enumerate(zip(self.tracer.rules, self.tracer.trees.rules, strict=True)):
            clauses = [self._misread(place, clause, bad) for clause in clauses_of(tree)]
            outcome = "error" if any(clause.error for clause in clauses) else "not_reached"
            out.append(_told(rule, outcome, clauses))
        return tuple(out)

    def _misread(self, place: int, clause: Typed, bad: Mapping[str, str]) -> ClauseTrace:
        read = inputs_of([clause], self.tracer.trees.variables)
        error = next((bad[source.name] for source in read if source.name in bad), "")
        return ClauseTrace(clause_text(self.tracer.rules[place], clause), looked_at=False, error=error)

    def _failed(self) -> tuple[RuleTrace, ...]:
        """The rules one by one, as the readable evaluator walks them, up to the one that failed."""
        out: list[RuleTrace] = []
        over = False
        for place, (rule, tree) in enumerate(zip(self.tracer.rules, self.tracer.trees.rules, strict=True)):
            recorder = _Recorder(self, place, tree)
            outcome = "not_reached" if over else recorder.outcome(tree)
            over = over or outcome != "not_matched"
            out.append(_told(rule, outcome, recorder.clauses()))
        return tuple(out)

    def _clause(self, place: int, clause: Typed, value: Any) -> ClauseTrace:
        if value is UNSEEN:
            return self._unseen(place, clause)
        failed = isinstance(value, EvaluationError)
        return self._seen(place, clause, None if failed else value, str(value) if failed else "")

    def _unseen(self, place: int, clause: Typed) -> ClauseTrace:
        return ClauseTrace(clause_text(self.tracer.rules[place], clause), looked_at=False)

    def _seen(self, place: int, clause: Typed, value: bool | None, error: str = "") -> ClauseTrace:
        text = clause_text(self.tracer.rules[place], clause)
        return ClauseTrace(text, looked_at=True, value=value, error=error, facts=self._read_by(clause))

    def _read_by(self, clause: Typed) -> dict[str, FactValue | None]:
        evaluator = Evaluator(self.facts, self.tracer.trees.variables)
        with suppress(Exception):  # what was read before it failed is told too
            evaluator.value(clause)
        return evaluator.seen


class _Recorder(Evaluator):
    """The readable evaluator, noting what the clauses of one rule were worth, or why they failed."""

    def __init__(self, trace: Trace, place: int, tree: Typed) -> None:
        super().__init__(trace.facts, trace.tracer.trees.variables)
        self._trace = trace
        self._place = place
        self._clauses = clauses_of(tree)
        self._ids = set(map(id, self._clauses))
        self._told: dict[int, ClauseTrace] = {}

    def outcome(self, tree: Typed) -> str:
        try:
            return "matched" if self.value(tree) else "not_matched"
        except Exception:  # noqa: BLE001 - the clause says which
            return "error"

    def value(self, node: Typed) -> Value:
        if id(node) not in self._ids:
            return super().value(node)
        try:
            value = super().value(node)
        except Exception as error:
            self._told[id(node)] = self._trace._seen(self._place, node, None, str(error))
            raise
        self._told[id(node)] = self._trace._seen(self._place, node, value)
        return value

    def clauses(self) -> list[ClauseTrace]:
        return [self._told.get(id(clause)) or self._trace._unseen(self._place, clause) for clause in self._clauses]


def clause_text(rule: Rule, clause: Typed) -> str:
    """The clause as the document spells it; for that of a rollout, which has no place in the condition, its meaning."""
    spelt = rule.when.text[clause.span.start : clause.span.end]
    return spelt or str(rule.rollout)


def place_of(expression: Expression, part: Typed, positions: Positions) -> tuple[int, int]:
    """Line and column of a part of an expression, from 1, in the document."""
    offset = part.span.start if len(expression.text) <= _LONGEST_PLACED else 0
    return positions.locate(expression.where, offset)


def _told(rule: Rule, outcome: str, clauses: Sequence[ClauseTrace]) -> RuleTrace:
    values = {name: value for clause in clauses for name, value in clause.facts.items()}
    return RuleTrace(rule.id, rule.when.text, outcome, values, rule.line, tuple(clauses))


def _bad_inputs(facts: Mapping[str, Any], trees: Trees) -> dict[str, str]:
    """Why each bad fact is none, by its name."""
    faults = {source.name: _fault(facts, source) for source in inputs_of(trees.rules, trees.variables)}
    return {name: fault for name, fault in faults.items() if fault}


def _fault(facts: Mapping[str, Any], source: Declaration) -> str:
    try:
        read_input(facts, source)
    except InputError as error:
        return str(error)
    return ""
