"""The readable evaluator: walks the typed tree. What the compiled form is tested against; explain uses it too."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from policies import operators, typed
from policies.facts import FactSpec, FactValue
from policies.reading import read_fact
from policies.typed import Typed

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Evaluator:
    """Evaluates expressions for one set of facts.

    variables: typed trees of the document's variables, evaluated when read.
    decision: values of `decision.…` fields, for invariants.
    seen: every fact read so far, with its value (None: absent).
    """

    def __init__(
        self,
        facts: Mapping[str, Any],
        variables: Sequence[Typed] = (),
        decision: Mapping[str, Any] | None = None,
    ) -> None:
        self._facts = facts
        self._variables = variables
        self._decision = decision or {}
        self._locals: dict[int, Any] = {}
        self._settled: dict[int, Callable[[], Any]] = {}
        self.seen: dict[str, FactValue | None] = {}

    def value(self, node: Typed) -> Any:
        """The value of `node`. Raises EvaluationError when it has none."""
        match node:
            case typed.Const():
                return node.value
            case typed.FactRead():
                return self._read(node.fact)
            case typed.FactPresent():
                return self._read(node.fact) is not None
            case typed.FactOr():
                return self._read_or(node)
            case typed.VariableRead():
                return self._variable(node.index)
            case typed.LocalRead():
                return self._locals[node.slot]
            case typed.DecisionRead():
                return self._decision[node.field]
            case _:
                return self._compound(node)

    def _compound(self, node: Typed) -> Any:
        match node:
            case typed.Not():
                return not self.value(node.operand)
            case typed.Logic():
                return self._logic(node)
            case typed.If():
                return self.value(node.then if self.value(node.condition) else node.otherwise)
            case typed.Compare():
                return _COMPARISONS[node.operator](self.value(node.left), self.value(node.right))
            case typed.Rank():
                return node.order.index(self.value(node.operand))
            case typed.Quantifier():
                return self._quantifier(node)
            case typed.MakeList():
                return [self.value(item) for item in node.items]
            case typed.MakeMap():
                return {key: self.value(value) for key, value in zip(node.keys, node.values, strict=True)}
            case typed.Apply():
                return operators.FUNCTIONS[node.function].run(*[self.value(arg) for arg in node.args])
        raise AssertionError(node)

    def _variable(self, index: int) -> Any:
        if index not in self._settled:
            self._settled[index] = operators.attempt(lambda: self.value(self._variables[index]))
        return self._settled[index]()

    def _read(self, fact: FactSpec) -> FactValue | None:
        value = self.seen[fact.name] = read_fact(self._facts, fact)
        return value

    def _read_or(self, node: typed.FactOr) -> Any:
        value = self._read(node.fact)
        return self.value(node.otherwise) if value is None else value

    def _logic(self, node: typed.Logic) -> bool:
        settle = operators.every_of if node.every else operators.some_of
        return settle(*[partial(self.value, operand) for operand in node.operands])

    def _quantifier(self, node: typed.Quantifier) -> bool:
        settle = operators.every_in if node.every else operators.some_in
        return settle(self.value(node.range), lambda item: self._body(node, item))

    def _body(self, node: typed.Quantifier, item: Any) -> bool:
        self._locals[node.slot] = item
        result: bool = self.value(node.body)
        return result


def choose_naively(
    rules: Sequence[Typed], variables: Sequence[Typed], needed: Sequence[FactSpec], facts: Mapping[str, Any]
) -> int:
    """What `compile.compile_choice` computes, spelt out: the position of the first rule that holds.

    needed: the facts that all rules need together; each is judged before the first rule. Raises EvaluationError.
    """
    for fact in needed:
        read_fact(facts, fact)
    evaluator = Evaluator(facts, variables)
    return next((at for at, rule in enumerate(rules) if evaluator.value(rule)), len(rules))
