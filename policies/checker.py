"""Syntax tree to typed tree: resolves names, chooses operators, tells every fault that can be known before it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from policies import calls, comparisons, syntax, typed
from policies.facts import FACTS, FactSpec, FactType
from policies.lexer import Fault
from policies.modes import MODES
from policies.presence import present_when
from policies.problems import did_you_mean
from policies.syntax import Node, Span, path_of
from policies.typed import Const, Typed
from policies.types import BOOL, DOUBLE, ERROR, INT, NULL, STRING, Enum, Error, List, Map, Type, is_number, is_text

_PLAIN: Final = {
    FactType.BOOL: BOOL,
    FactType.INT: INT,
    FactType.DOUBLE: DOUBLE,
    FactType.STRING: STRING,
}

DECISION_FIELDS: Final[Mapping[str, Type]] = {
    "decision.mode": Enum("decision.mode", tuple(str(mode) for mode in MODES), ordered=False),
    "decision.leaves_device": BOOL,
}

_ARITHMETIC: Final = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "modulo"}


def type_of_fact(spec: FactSpec) -> Type:
    """The language's type for a row of the facts table."""
    if spec.type is FactType.ENUM:
        return Enum(spec.name, spec.enum, spec.ordered)
    return _PLAIN[spec.type]


@dataclass(frozen=True, slots=True)
class Scope:
    """The names an expression may use. `decides`: whether `decision.…` is known (invariants only)."""

    params: Mapping[str, Const] = field(default_factory=dict)
    variables: Mapping[str, tuple[int, Type]] = field(default_factory=dict)
    facts: Mapping[str, FactSpec] = field(default_factory=lambda: FACTS)
    decides: bool = False

    def names(self) -> list[str]:
        """Every full name, for suggestions."""
        params = [f"params.{name}" for name in self.params]
        variables = [f"variables.{name}" for name in self.variables]
        return [*self.facts, *params, *variables, *(DECISION_FIELDS if self.decides else ())]


def check(node: Node, scope: Scope, expected: Type | None) -> tuple[Typed, list[Fault]]:
    """The typed tree of `node` and what is wrong with it; expected None: any type. Never evaluate a faulty tree."""
    checker = Checker(scope)
    result = checker.node(node, frozenset())
    if expected is not None and result.type not in (expected, ERROR):
        checker.tell("wrong-type", f"this is {result.type}", node.span, expected=str(expected))
    return result, checker.faults


class Checker:
    """One expression being checked. `present` everywhere: names of optional facts known to be there."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.faults: list[Fault] = []
        self._locals: dict[str, typed.LocalRead] = {}
        self._slots = 0

    def tell(self, code: str, message: str, span: Span, *, expected: str = "", suggestion: str = "") -> None:
        """Note a fault."""
        self.faults.append(Fault(code, message, span, expected, suggestion))

    def fault(self, code: str, message: str, span: Span, *, expected: str = "", suggestion: str = "") -> Typed:
        """Note a fault and stand in for the expression that has it."""
        self.tell(code, message, span, expected=expected, suggestion=suggestion)
        return faulty(span)

    def node(self, node: Node, present: frozenset[str]) -> Typed:
        """The typed form of any node."""
        match node:
            case syntax.Literal():
                return Const(node.span, _type_of_literal(node.value), node.value)
            case syntax.Ident() | syntax.Select():
                return self._name(node, present)
            case syntax.Unary():
                return self._unary(node, present)
            case syntax.Binary():
                return self._binary(node, present)
            case syntax.Junction():
                return self._junction(node, present)
            case syntax.Choice():
                return self._choice(node, present)
            case syntax.ListOf():
                return self._list(node, present)
            case syntax.MapOf():
                return self._map(node, present)
            case syntax.IndexOf():
                return self._index(node, present)
            case syntax.CallOf():
                return calls.check_call(self, node, present)
            case syntax.Faulty():
                return faulty(node.span)

    # ── names ───────────────────────────────────────────────────────────────────────────────────────────────────

    def fact(self, node: Node) -> FactSpec | None:
        """The fact that `node` names, if it names one."""
        path = path_of(node)
        return self.scope.facts.get(path) if path is not None else None

    def _name(self, node: syntax.Ident | syntax.Select, present: frozenset[str]) -> Typed:
        if isinstance(node, syntax.Ident) and node.name in self._locals:
            return self._locals[node.name]
        if (spec := self.fact(node)) is not None:
            return self._read(spec, node.span, present)
        path = path_of(node)
        if path is None:
            assert isinstance(node, syntax.Select)
            return self._field(node, present)
        return self._declared(path, node.span) or self._unknown(path, node)

    def _read(self, spec: FactSpec, span: Span, present: frozenset[str]) -> Typed:
        if spec.optional and spec.name not in present:
            other = _example_default(spec)
            remedy = f"{spec.name}.orValue({other}), or has({spec.name}) && …"
            return self.fault("may-be-absent", f"{spec.name} may be absent or stale", span, suggestion=remedy)
        return typed.FactRead(span, type_of_fact(spec), spec)

    def _declared(self, path: str, span: Span) -> Typed | None:
        group, _, name = path.partition(".")
        if group == "params" and name in self.scope.params:
            param = self.scope.params[name]
            return Const(span, param.type, param.value)
        if group == "variables" and name in self.scope.variables:
            index, type_ = self.scope.variables[name]
            return typed.VariableRead(span, type_, index)
        if self.scope.decides and path in DECISION_FIELDS:
            return typed.DecisionRead(span, DECISION_FIELDS[path], path.partition(".")[2])
        return None

    def _unknown(self, path: str, node: syntax.Ident | syntax.Select) -> Typed:
        span = node.field_span if isinstance(node, syntax.Select) else node.span
        near = did_you_mean(path, [*self.scope.names(), *self._locals]) or self._same_field(path)
        remedy = f"did you mean {near}?" if near else ""
        if path.startswith("decision.") and not self.scope.decides:
            remedy = "decision.… is known in invariants only"
        return self.fault("unknown-name", f"there is no {path}", span, suggestion=remedy)

    def _same_field(self, path: str) -> str:
        """`request.task` for a bare `task`."""
        return next((name for name in self.scope.names() if name.endswith(f".{path}")), "")

    def _field(self, node: syntax.Select, present: frozenset[str]) -> Typed:
        operand = self.node(node.operand, present)
        if isinstance(operand.type, Map):
            key = Const(node.field_span, STRING, node.field)
            return typed.Apply(node.span, operand.type.value, "at_key", (operand, key))
        if isinstance(operand.type, Error):
            return operand
        return self.fault("no-field", f"{operand.type} has no field {node.field}", node.field_span)

    def with_local(self, name: str, range_: Typed, body: Node, present: frozenset[str]) -> tuple[int, Typed]:
        """The slot and the checked body of a quantifier over `range_` that calls its element `name`."""
        element = range_.type.element if isinstance(range_.type, List) else ERROR
        before = self._locals.get(name)
        slot, self._slots = self._slots, self._slots + 1
        self._locals[name] = typed.LocalRead(body.span, element, slot)
        checked = self.boolean(body, present)
        if before is None:
            del self._locals[name]
        else:
            self._locals[name] = before
        return slot, checked

    # ── operators ───────────────────────────────────────────────────────────────────────────────────────────────

    def boolean(self, node: Node, present: frozenset[str]) -> Typed:
        """`node`, which must be a bool."""
        checked = self.node(node, present)
        if checked.type in (BOOL, ERROR):
            return checked
        return self.fault("wrong-type", f"this is {checked.type}", node.span, expected="bool")

    def _unary(self, node: syntax.Unary, present: frozenset[str]) -> Typed:
        if node.operator == "!":
            return typed.Not(node.span, BOOL, self.boolean(node.operand, present))
        operand = self.node(node.operand, present)
        if operand.type in (INT, DOUBLE):
            return typed.Apply(node.span, operand.type, f"negate_{operand.type}", (operand,))
        if isinstance(operand.type, Error):
            return operand
        return self.fault("wrong-type", f"- needs a number, and this is {operand.type}", node.span)

    def _junction(self, node: syntax.Junction, present: frozenset[str]) -> Typed:
        every = node.operator == "&&"
        operands: list[Typed] = []
        for operand in node.operands:
            checked = self.boolean(operand, present)
            present = present | present_when(checked, holds=every)
            operands.append(checked)
        return typed.Logic(node.span, BOOL, every, tuple(operands))

    def _choice(self, node: syntax.Choice, present: frozenset[str]) -> Typed:
        condition = self.boolean(node.condition, present)
        then = self.node(node.then, present | present_when(condition, holds=True))
        otherwise = self.node(node.otherwise, present | present_when(condition, holds=False))
        type_ = self.common([then, otherwise], node.span)
        return typed.If(node.span, type_, condition, then, otherwise)

    def _binary(self, node: syntax.Binary, present: frozenset[str]) -> Typed:
        left, right = self.node(node.left, present), self.node(node.right, present)
        if isinstance(left.type, Error) or isinstance(right.type, Error):
            return faulty(node.span)
        match node.operator:
            case "in":
                return comparisons.check_in(self, node, left, right)
            case "==" | "!=" | "<" | "<=" | ">" | ">=":
                return comparisons.check_comparison(self, node, left, right)
            case _:
                return self._arithmetic(node, left, right)

    def _arithmetic(self, node: syntax.Binary, left: Typed, right: Typed) -> Typed:
        if node.operator == "+" and is_text(left.type) and is_text(right.type):
            return typed.Apply(node.span, STRING, "join_string", (left, right))
        if node.operator == "+" and isinstance(left.type, List) and left.type == right.type:
            return typed.Apply(node.span, left.type, "join_list", (left, right))
        if left.type != right.type or not is_number(left.type) or (node.operator == "%" and left.type != INT):
            return self._no_operator(node, left, right)
        function = f"{_ARITHMETIC[node.operator]}_{left.type}"
        return typed.Apply(node.span, left.type, function, (left, right))

    def _no_operator(self, node: syntax.Binary, left: Typed, right: Typed) -> Typed:
        message = f"there is no {left.type} {node.operator} {right.type}"
        whole = next((side for side in (left, right) if isinstance(side, Const) and side.type == INT), None)
        remedy = f"write {whole.value}.0" if whole is not None and DOUBLE in (left.type, right.type) else ""
        return self.fault("wrong-type", message, node.operator_span, suggestion=remedy)

    # ── collections ─────────────────────────────────────────────────────────────────────────────────────────────

    def common(self, parts: Sequence[Typed], span: Span) -> Type:
        """The one type of all `parts`; a fault when they differ."""
        kinds = [part.type for part in parts if not isinstance(part.type, Error)]
        if not kinds:
            return ERROR
        if all(kind == kinds[0] for kind in kinds):
            return kinds[0]
        if all(is_text(kind) for kind in kinds):
            return STRING
        other = next(kind for kind in kinds if kind != kinds[0])
        remedy = "write whole numbers as 1.0 beside doubles" if {INT, DOUBLE} >= set(kinds) else ""
        self.tell("wrong-type", f"{kinds[0]} and {other} are mixed", span, expected="one type", suggestion=remedy)
        return ERROR

    def _list(self, node: syntax.ListOf, present: frozenset[str]) -> Typed:
        items = tuple(self.node(item, present) for item in node.items)
        if not items:
            return self.fault("empty-list", "an empty list has no type and holds nothing", node.span)
        element = self.common(items, node.span)
        return typed.MakeList(node.span, ERROR if element == ERROR else List(element), items)

    def _map(self, node: syntax.MapOf, present: frozenset[str]) -> Typed:
        values = tuple(self.node(value, present) for _, value in node.entries)
        keys = self._keys(key for key, _ in node.entries)
        if not values:
            return self.fault("empty-map", "an empty map has no type and holds nothing", node.span)
        value = self.common(values, node.span)
        return typed.MakeMap(node.span, ERROR if value == ERROR else Map(value), keys, values)

    def _keys(self, nodes: Iterable[Node]) -> tuple[str, ...]:
        keys: list[str] = []
        for node in nodes:
            if not (isinstance(node, syntax.Literal) and isinstance(node.value, str)):
                self.tell("wrong-type", "a key is a string literal", node.span)
            elif node.value in keys:
                self.tell("double-key", f"the key {node.value!r} is there twice", node.span)
            keys.append(str(node.value) if isinstance(node, syntax.Literal) else "")
        return tuple(keys)

    def _index(self, node: syntax.IndexOf, present: frozenset[str]) -> Typed:
        operand, index = self.node(node.operand, present), self.node(node.index, present)
        if isinstance(operand.type, List) and index.type == INT:
            return typed.Apply(node.span, operand.type.element, "at_index", (operand, index))
        if isinstance(operand.type, Map) and is_text(index.type):
            return typed.Apply(node.span, operand.type.value, "at_key", (operand, index))
        if isinstance(operand.type, Error) or isinstance(index.type, Error):
            return faulty(node.span)
        return self.fault("wrong-type", f"{operand.type} cannot be indexed by {index.type}", node.span)


def faulty(span: Span) -> Typed:
    """What stands for an expression whose fault has been told."""
    return Const(span, ERROR, None)


def _type_of_literal(value: bool | int | float | str | None) -> Type:
    match value:
        case None:
            return NULL
        case bool():
            return BOOL
        case int():
            return INT
        case float():
            return DOUBLE
        case str():
            return STRING


def _example_default(spec: FactSpec) -> str:
    match spec.typical:
        case None:
            return "…"
        case bool(value):
            return str(value).lower()
        case value:
            return repr(value)
