"""Checking of calls: the functions and macros of the language, each with the types it takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from policies import syntax, typed
from policies.problems import did_you_mean
from policies.syntax import Node
from policies.typed import Typed
from policies.types import BOOL, DOUBLE, ERROR, INT, STRING, Enum, Error, List, Map, Type, is_text

if TYPE_CHECKING:
    from policies.checker import Checker


@dataclass(frozen=True, slots=True)
class Signature:
    """A function over texts: how it is written, which operator runs it, how many texts it takes, what it gives."""

    form: str
    operator: str
    texts: int
    result: Type


_METHODS: Final = {
    "startsWith": Signature("text.startsWith(prefix)", "starts_with", 2, BOOL),
    "endsWith": Signature("text.endsWith(suffix)", "ends_with", 2, BOOL),
    "contains": Signature("text.contains(part)", "contains_text", 2, BOOL),
    "lower": Signature("text.lower()", "lower", 1, STRING),
    "lowerAscii": Signature("text.lowerAscii()", "lower", 1, STRING),
}
_FUNCTIONS: Final = {"bucket": Signature("bucket(key, salt)", "bucket", 2, DOUBLE)}
_SPECIAL: Final = {
    "has": "has(fact)",
    "orValue": "fact.orValue(default)",
    "size": "size(x) or x.size()",
    "double": "double(x)",
    "exists": "list.exists(x, condition)",
    "all": "list.all(x, condition)",
}
_FORMS: Final = _SPECIAL | {name: s.form for name, s in (_METHODS | _FUNCTIONS).items()}


def check_call(checker: Checker, node: syntax.CallOf, present: frozenset[str]) -> Typed:
    """The typed form of a call."""
    match node.function, node.target, node.args:
        case "has", None, (argument,):
            return _has(checker, node, argument)
        case "orValue", syntax.Ident() | syntax.Select() as target, (argument,):
            return _or_value(checker, node, target, argument, present)
        case "size", None, (operand,):
            return _size(checker, node, operand, present)
        case "size", target, () if target is not None:
            return _size(checker, node, target, present)
        case "double", None, (operand,):
            return _double(checker, node, operand, present)
        case "exists" | "all", target, (syntax.Ident() as name, body) if target is not None:
            return _quantifier(checker, node, target, name.name, body, present)
    table = _FUNCTIONS if node.target is None else _METHODS
    operands = node.args if node.target is None else (node.target, *node.args)
    signature = table.get(node.function)
    if signature is None or len(operands) != signature.texts:
        return _unknown(checker, node)
    return _on_texts(checker, node, signature, operands, present)


def _unknown(checker: Checker, node: syntax.CallOf) -> Typed:
    form = _FORMS.get(node.function)
    if form is not None:
        message = f"{node.function} is not called like this"
        return checker.fault("wrong-call", message, node.function_span, expected=form)
    near = did_you_mean(node.function, _FORMS)
    remedy = f"did you mean {_FORMS[near]}?" if near else f"there are {', '.join(sorted(_FORMS))}"
    return checker.fault("unknown-function", f"there is no {node.function}()", node.function_span, suggestion=remedy)


def _on_texts(
    checker: Checker, node: syntax.CallOf, signature: Signature, operands: tuple[Node, ...], present: frozenset[str]
) -> Typed:
    args = tuple(checker.node(operand, present) for operand in operands)
    for arg in args:
        if not is_text(arg.type):
            return checker.fault(
                "wrong-type", f"this is {arg.type}", arg.span, expected=f"string, as in {signature.form}"
            )
    return typed.Apply(node.span, signature.result, signature.operator, args)


def _has(checker: Checker, node: syntax.CallOf, argument: Node) -> Typed:
    spec = checker.fact(argument)
    if spec is None:
        checked = checker.node(argument, frozenset())
        if isinstance(checked.type, Error):
            return checked
        return checker.fault("wrong-call", "has() asks about facts", argument.span, expected=_FORMS["has"])
    if not spec.optional:
        return checker.fault("always-there", f"{spec.name} is always there", node.span, suggestion="remove has()")
    return typed.FactPresent(node.span, BOOL, spec)


def _or_value(
    checker: Checker,
    node: syntax.CallOf,
    target: syntax.Ident | syntax.Select,
    argument: Node,
    present: frozenset[str],
) -> Typed:
    from policies.checker import type_of_fact

    spec = checker.fact(target)
    otherwise = checker.node(argument, present)
    if spec is None:
        checked = checker.node(target, present)
        if isinstance(checked.type, Error):
            return checked
        return checker.fault("wrong-call", "orValue() follows a fact", target.span, expected=_FORMS["orValue"])
    if not spec.optional:
        message = f"{spec.name} is always there"
        return checker.fault("always-there", message, node.function_span, suggestion=f"write {spec.name} alone")
    type_ = type_of_fact(spec)
    if not _stands_in(type_, otherwise):
        whole = isinstance(otherwise, typed.Const) and otherwise.type == INT and type_ == DOUBLE
        remedy = f"write {otherwise.value}.0" if whole and isinstance(otherwise, typed.Const) else ""
        message = f"the default for {spec.name} is {otherwise.type}"
        return checker.fault("wrong-type", message, argument.span, expected=str(type_), suggestion=remedy)
    return typed.FactOr(node.span, type_, spec, otherwise)


def _stands_in(type_: Type, otherwise: Typed) -> bool:
    if isinstance(type_, Enum) and isinstance(otherwise, typed.Const):
        return otherwise.value in type_.values
    return otherwise.type in (type_, ERROR)


def _size(checker: Checker, node: syntax.CallOf, operand: Node, present: frozenset[str]) -> Typed:
    checked = checker.node(operand, present)
    if is_text(checked.type) or isinstance(checked.type, List | Map):
        return typed.Apply(node.span, INT, "size", (checked,))
    return checker.fault("wrong-type", f"{checked.type} has no size", operand.span, expected="string, list or map")


def _double(checker: Checker, node: syntax.CallOf, operand: Node, present: frozenset[str]) -> Typed:
    checked = checker.node(operand, present)
    if checked.type in (INT, DOUBLE, ERROR):
        return typed.Apply(node.span, DOUBLE, "to_double", (checked,))
    return checker.fault("wrong-type", f"this is {checked.type}", operand.span, expected="a number")


def _quantifier(
    checker: Checker, node: syntax.CallOf, target: Node, name: str, body: Node, present: frozenset[str]
) -> Typed:
    range_ = checker.node(target, present)
    if not isinstance(range_.type, List | Error):
        return checker.fault("wrong-type", f"{range_.type} is no list", target.span, expected=_FORMS[node.function])
    slot, checked = checker.with_local(name, range_, body, present)
    return typed.Quantifier(node.span, BOOL, node.function == "all", slot, range_, checked)
