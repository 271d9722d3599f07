"""Names and fields: inputs that may be absent, params, variables, macro names, fields of maps, and has()."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from policies.language import calls, syntax, typed
from policies.language.context import Context, Present
from policies.language.declarations import Declaration
from policies.language.suggest import did_you_mean
from policies.language.syntax import Span, path_of, root_of
from policies.language.typed import Const, Typed
from policies.language.types import BOOL, ERROR, STRING, TYPE, Map, Optional, is_loose
from policies.language.values import TypeName

TYPE_NAMES: Final = frozenset(
    {"bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "optional_type"}
    | {"google.protobuf.Timestamp", "google.protobuf.Duration"}
)


def check_name(context: Context, node: syntax.Ident | syntax.Select, present: Present) -> Typed:
    """The typed form of a name or of a selection."""
    if isinstance(node, syntax.Ident):
        return _named(context, node, node.name, node.absolute, present)
    path, root = path_of(node), root_of(node)
    if path is not None and root is not None and (root.absolute or root.name not in context.locals):
        return _named(context, node, path, root.absolute, present)
    return _selected(context, node, present)


def _named(context: Context, node: syntax.Ident | syntax.Select, path: str, absolute: bool, present: Present) -> Typed:
    if not absolute and path in context.locals:
        return context.locals[path]
    found = context.scope.resolve(path, absolute=absolute)
    if found is not None:
        return _with_fields(context, node, found[0], found[1], present)
    if path in TYPE_NAMES:
        return Const(node.span, TYPE, TypeName(path))
    return _unknown(context, path, node)


def _with_fields(
    context: Context, node: syntax.Ident | syntax.Select, name: str, fields: Sequence[str], present: Present
) -> Typed:
    """What `name` declares, and its fields: `node` is the whole chain, whose last selections are the fields."""
    if not fields:
        return _declared(context, name, node.span, present)
    assert isinstance(node, syntax.Select)
    operand = _with_fields(context, _chain(node.operand), name, fields[:-1], present)
    return _field(context, node, operand)


def _chain(node: syntax.Node) -> syntax.Ident | syntax.Select:
    assert isinstance(node, syntax.Ident | syntax.Select)
    return node


def _declared(context: Context, name: str, span: Span, present: Present) -> Typed:
    scope = context.scope
    if name in scope.inputs:
        return _read(context, scope.inputs[name], span, present)
    if name in scope.constants:
        return _placed(scope.constants[name], span)
    index, type_ = scope.variables[name]
    return typed.VariableRead(span, type_, index)


def _placed(constant: Typed, span: Span) -> Typed:
    """A constant where it is used: faults of its parts are told there."""
    return replace(typed.rebuild(constant, lambda part: _placed(part, span)), span=span)


def _read(context: Context, source: Declaration, span: Span, present: Present) -> Typed:
    if source.optional and source.name not in present:
        other = _example(source)
        remedy = f"{source.name}.orValue({other}), or has({source.name}) && …"
        return context.fault("may-be-absent", f"{source.name} may be absent or stale", span, suggestion=remedy)
    return typed.Input(span, source.type, source)


def _example(source: Declaration) -> str:
    match source.example:
        case None:
            return "…"
        case bool(value):
            return str(value).lower()
        case value:
            return repr(value)


def _unknown(context: Context, path: str, node: syntax.Ident | syntax.Select) -> Typed:
    span = node.field_span if isinstance(node, syntax.Select) else node.span
    if path in context.scope.later:
        return context.fault(
            "not-known-yet", f"{path} is not known in this phase", span, suggestion=context.scope.later[path]
        )
    near = did_you_mean(path, [*context.scope.names(), *context.locals]) or _same_field(context, path)
    remedy = f"did you mean {near}?" if near else ""
    return context.fault("unknown-name", f"there is no {path}", span, suggestion=remedy)


def _same_field(context: Context, path: str) -> str:
    """`request.task` for a bare `task`."""
    return next((name for name in context.scope.names() if name.endswith(f".{path}")), "")


# ── fields ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _selected(context: Context, node: syntax.Select, present: Present) -> Typed:
    if node.optional and (source := input_named(context, node)) is not None:
        return _maybe(context, node, source)
    return _field(context, node, context.node(node.operand, present))


def _maybe(context: Context, node: syntax.Select, source: Declaration) -> Typed:
    if not source.optional:
        remedy = f"write {source.name}"
        return context.fault("always-there", f"{source.name} is always there", node.field_span, suggestion=remedy)
    return typed.InputMaybe(node.span, Optional(source.type), source)


def _field(context: Context, node: syntax.Select, operand: Typed) -> Typed:
    if operand.type == ERROR:
        return operand
    if not isinstance(operand.type, Map | Optional) and not is_loose(operand.type):
        return context.fault("no-field", f"{operand.type} has no field {node.field}", node.field_span)
    key = Const(node.field_span, STRING, node.field)
    return calls.applied(context, "_?._" if node.optional else "_._", (operand, key), node.span, node.field_span)


def input_named(context: Context, node: syntax.Node) -> Declaration | None:
    """The input that a chain of selections names, its last dot plain or `.?`; None when it names none."""
    last = (
        syntax.Select(node.span, node.operand, node.field, node.field_span) if isinstance(node, syntax.Select) else node
    )
    path, root = path_of(last), root_of(last)
    if path is None or root is None or (root.name in context.locals and not root.absolute):
        return None
    found = context.scope.resolve(path, absolute=root.absolute)
    return context.scope.inputs.get(found[0]) if found is not None and not found[1] else None


def check_has(context: Context, node: syntax.CallOf, present: Present) -> Typed:
    """The typed form of `has(…)`."""
    argument = node.args[0]
    source = input_named(context, argument)
    if source is not None and (source.optional or context.scope.strict):
        if not source.optional:
            message = f"{source.name} is always there"
            return context.fault("always-there", message, node.span, suggestion="remove has()")
        return typed.InputPresent(node.span, BOOL, source)
    if not isinstance(argument, syntax.Select):
        checked = context.node(argument, present)
        if checked.type == ERROR:
            return checked
        return context.fault("wrong-call", "has() asks about a field", argument.span, expected="has(fact)")
    if (path := path_of(argument)) is not None and context.scope.strict and context.scope.resolve(path) is None:
        return context.node(argument, present)
    operand = context.node(argument.operand, present)
    if operand.type == ERROR:
        return operand
    key = Const(argument.field_span, STRING, argument.field)
    return calls.applied(context, "has", (operand, key), node.span, argument.field_span)
