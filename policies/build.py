"""Document to checked trees: every expression parsed, typed, priced, and its faults placed in the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.document import Document, Expression, Param, Rollout
from policies.facts import FACTS, PHASES, FactSpec
from policies.invariants import DECIDED, CheckedInvariant, privacy_invariant
from policies.language import typed
from policies.language.checker import check
from policies.language.cost import MAX_SIZE, MAX_STEPS, Cost, Pricing
from policies.language.parser import parse
from policies.language.scope import Scope
from policies.language.syntax import Fault, Span
from policies.language.typed import Const, MakeList, Typed
from policies.language.types import BOOL, DOUBLE, DURATION, INT, STRING, List, Type
from policies.positions import Positions
from policies.problems import Problem

MAX_TOTAL_STEPS = 100_000

_TYPES = {"bool": BOOL, "int": INT, "double": DOUBLE, "string": STRING, "duration": DURATION}
_NOWHERE = Span(0, 0)
_OF_NAMES = frozenset({"unknown-name", "unknown-function", "unknown-word", "not-known-yet"})
"""Codes of faults that a name has whatever stands around it."""


@dataclass(frozen=True, slots=True)
class Trees:
    """The typed trees of one document, in its order. The privacy invariant comes first among the invariants.

    A rule with a rollout holds the comparison of the bucket beside its condition, with the empty span at its end.
    """

    variables: tuple[Typed, ...]
    rules: tuple[Typed, ...]
    invariants: tuple[CheckedInvariant, ...]


def build_trees(document: Document, text: str, facts: Mapping[str, FactSpec] = FACTS) -> tuple[Trees, list[Problem]]:
    """The trees of `document`, which was read from `text`, and what is wrong with its expressions."""
    builder = _Builder(document, Positions.of(text), facts)
    trees = builder.trees()
    return trees, builder.problems


class _Builder:
    def __init__(self, document: Document, positions: Positions, facts: Mapping[str, FactSpec]) -> None:
        self._document = document
        self._positions = positions
        self._facts = facts
        known = PHASES[: PHASES.index(document.context.phase) + 1]
        self._inputs = {fact.name: fact.declaration for fact in facts.values() if fact.phase in known}
        self._later = {fact.name: f"it is known from the phase {fact.phase} on" for fact in facts.values()}
        self._params = {f"params.{param.name}": self._constant(param) for param in document.params}
        self._variables: dict[str, tuple[int, Type]] = {}
        self._costs: list[Cost] = []
        self._steps = 0
        self.problems: list[Problem] = []

    def trees(self) -> Trees:
        variables = [self._variable(v.name, v.expression) for v in self._document.variables]
        rules = [self._condition(rule.when, rule_id=rule.id, rollout=rule.rollout) for rule in self._document.rules]
        return Trees(tuple(variables), tuple(rules), (privacy_invariant(), *self._invariants()))

    def _constant(self, param: Param) -> Const | MakeList:
        if isinstance(param.value, tuple):
            return MakeList(_NOWHERE, List(STRING), tuple(Const(_NOWHERE, STRING, text) for text in param.value))
        type_ = _TYPES[param.type] if param.type in _TYPES else self._facts[param.type].language_type
        return Const(_NOWHERE, type_, param.value)

    def _scope(self, *, decides: bool = False) -> Scope:
        later = {} if decides else dict.fromkeys(DECIDED, "decision.… is known in invariants only")
        inputs = {**self._inputs, **DECIDED} if decides else self._inputs
        return Scope(inputs, self._params, self._variables, {**self._later, **later})

    def _variable(self, name: str, expression: Expression) -> Typed:
        tree = self._checked(expression, self._scope(), None, "")
        self._variables[f"variables.{name}"] = (len(self._costs), tree.type)
        self._costs.append(self._priced(tree, expression, ""))
        return tree

    def _condition(
        self, expression: Expression, *, rule_id: str = "", decides: bool = False, rollout: Rollout | None = None
    ) -> Typed:
        tree = self._checked(expression, self._scope(decides=decides), BOOL, rule_id)
        if rollout is not None:
            tree = self._rolled_out(tree, rollout, len(expression.text))
        self._priced(tree, expression, rule_id)
        return tree

    def _rolled_out(self, when: Typed, rollout: Rollout, end: int) -> Typed:
        """`when`, and the key's bucket below the percentage. The condition comes first: hashing is the dearer part."""
        at, source = Span(end, end), self._inputs[rollout.by]
        key: Typed = typed.Input(at, STRING, source)
        if source.optional:
            key = typed.InputOr(at, STRING, source, Const(at, STRING, ""))
        bucket = typed.Apply(at, DOUBLE, "bucket", ("bucket",), (key, Const(at, STRING, rollout.salt)))
        dealt = typed.Compare(at, BOOL, "<", bucket, Const(at, DOUBLE, rollout.percent))
        return typed.Logic(when.span, BOOL, True, (when, dealt))

    def _invariants(self) -> Sequence[CheckedInvariant]:
        out: list[CheckedInvariant] = []
        for invariant in self._document.invariants:
            tree = self._condition(invariant.expression, decides=True)
            out.append(
                CheckedInvariant(invariant.name, typed.Not(tree.span, BOOL, tree) if invariant.negated else tree)
            )
        return out

    def _checked(self, expression: Expression, scope: Scope, expected: Type | None, rule_id: str) -> Typed:
        node, faults = parse(expression.text)
        tree, more = check(node, scope, expected)
        if faults:  # types of a tree that is not what was meant would mislead; names in it are as they were written
            more = [fault for fault in more if fault.code in _OF_NAMES]
        first_at = {fault.span.start: fault for fault in reversed([*faults, *more])}  # one per place, the first told
        for fault in first_at.values():
            self._tell(fault, expression, rule_id)
        return tree

    def _tell(self, fault: Fault, expression: Expression, rule_id: str) -> None:
        line, column = self._positions.locate(expression.where, fault.span.start)
        problem = Problem(fault.code, fault.message, line, column, rule_id, fault.expected, fault.suggestion)
        self.problems.append(problem)

    def _priced(self, tree: Typed, expression: Expression, rule_id: str) -> Cost:
        cost = Pricing(self._costs).cost(tree)
        within = self._steps <= MAX_TOTAL_STEPS
        self._steps += cost.steps
        if cost.over_budget:
            message = f"this could take {cost.steps} steps and hold {cost.size} elements"
            expected = f"at most {MAX_STEPS} steps and {MAX_SIZE} elements"
            self._tell(Fault("too-costly", message, Span(0, 0), expected), expression, rule_id)
            return Cost(1, 1)
        if within and self._steps > MAX_TOTAL_STEPS:
            message = "the policy as a whole could take too many steps"
            self._tell(Fault("too-costly", message, Span(0, 0), f"at most {MAX_TOTAL_STEPS}"), expression, rule_id)
        return cost
