"""Document to checked trees: every expression parsed, typed, priced, and its faults placed in the document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies import typed
from policies.checker import Scope, check, type_of_fact
from policies.cost import MAX_SIZE, MAX_STEPS, Cost, cost_of
from policies.document import Document, Expression, Param
from policies.facts import FACTS
from policies.invariants import CheckedInvariant, privacy_invariant
from policies.lexer import Fault
from policies.parser import parse
from policies.positions import Positions
from policies.problems import Problem
from policies.syntax import Span
from policies.typed import Const, Typed
from policies.types import BOOL, DOUBLE, INT, STRING, Type

MAX_TOTAL_STEPS = 100_000

_TYPES = {"bool": BOOL, "int": INT, "double": DOUBLE, "string": STRING}


@dataclass(frozen=True, slots=True)
class Trees:
    """The typed trees of one document, in its order. The privacy invariant comes first among the invariants."""

    variables: tuple[Typed, ...]
    rules: tuple[Typed, ...]
    invariants: tuple[CheckedInvariant, ...]


def build_trees(document: Document, text: str) -> tuple[Trees, list[Problem]]:
    """The trees of `document`, which was read from `text`, and what is wrong with its expressions."""
    builder = _Builder(document, Positions.of(text))
    trees = builder.trees()
    return trees, builder.problems


class _Builder:
    def __init__(self, document: Document, positions: Positions) -> None:
        self._document = document
        self._positions = positions
        self._params = {param.name: _const(param) for param in document.params}
        self._variables: dict[str, tuple[int, Type]] = {}
        self._costs: list[Cost] = []
        self._steps = 0
        self.problems: list[Problem] = []

    def trees(self) -> Trees:
        variables = [self._variable(v.name, v.expression) for v in self._document.variables]
        rules = [self._condition(rule.when, rule_id=rule.id) for rule in self._document.rules]
        return Trees(tuple(variables), tuple(rules), (privacy_invariant(), *self._invariants()))

    def _scope(self, *, decides: bool = False) -> Scope:
        return Scope(self._params, self._variables, FACTS, decides)

    def _variable(self, name: str, expression: Expression) -> Typed:
        tree = self._checked(expression, self._scope(), None, "")
        self._variables[name] = (len(self._costs), tree.type)
        self._costs.append(self._priced(tree, expression, ""))
        return tree

    def _condition(self, expression: Expression, *, rule_id: str = "", decides: bool = False) -> Typed:
        tree = self._checked(expression, self._scope(decides=decides), BOOL, rule_id)
        self._priced(tree, expression, rule_id)
        return tree

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
        first_at = {fault.span.start: fault for fault in reversed([*faults, *more])}  # one per place, the first told
        for fault in first_at.values():
            self._tell(fault, expression, rule_id)
        return tree

    def _tell(self, fault: Fault, expression: Expression, rule_id: str) -> None:
        line, column = self._positions.locate(expression.where, fault.span.start)
        problem = Problem(fault.code, fault.message, line, column, rule_id, fault.expected, fault.suggestion)
        self.problems.append(problem)

    def _priced(self, tree: Typed, expression: Expression, rule_id: str) -> Cost:
        cost = cost_of(tree, self._costs)
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


def _const(param: Param) -> Const:
    type_ = _TYPES[param.type] if param.type in _TYPES else type_of_fact(FACTS[param.type])
    return Const(Span(0, 0), type_, param.value)
