"""Calls: which overload takes these arguments, or what to say when none does."""

from __future__ import annotations

from collections.abc import Sequence

from policies.language import syntax, typed
from policies.language.context import Context, Present
from policies.language.functions import Overload
from policies.language.suggest import did_you_mean
from policies.language.syntax import Span, path_of
from policies.language.typed import Const, Typed
from policies.language.types import DYN, ERROR, Bindings, List, Type, fits, holds, join, settled


def check_call(context: Context, node: syntax.CallOf, present: Present) -> Typed:
    """The typed form of a call that is no macro."""
    name = namespaced(context, node)
    if name is not None:
        args = tuple(context.node(arg, present) for arg in node.args)
        return _called(context, name, args, node, method=False)
    assert node.target is not None
    if not _is_method(context, node):
        for arg in node.args:
            context.node(arg, present)
        return _unknown(context, node.function, node, method=True)
    receiver = context.node(node.target, present)
    args = (receiver, *(context.node(arg, present) for arg in node.args))
    return _called(context, node.function, args, node, method=True)


def namespaced(context: Context, node: syntax.CallOf) -> str | None:
    """The name of a global function, `math.abs` with its namespace; None for a method of a value."""
    if node.target is None:
        return node.function.removeprefix(".")
    path = path_of(node.target)
    name = f"{path}.{node.function}"
    if path is None or path in context.locals or name not in context.scope.functions.by_name:
        return None
    return name


def _is_method(context: Context, node: syntax.CallOf) -> bool:
    """Whether some method has this name and takes so many arguments, whatever they are."""
    known = context.scope.functions.by_name.get(node.function, ())
    return any(each.method and (each.variadic or len(each.params) == len(node.args) + 1) for each in known)


def _called(context: Context, name: str, args: tuple[Typed, ...], node: syntax.CallOf, *, method: bool) -> Typed:
    known = [each for each in context.scope.functions.by_name.get(name, ()) if each.method == method]
    if not known:
        return _unknown(context, name, node, method=method)
    return _resolved(context, known, args, node.span, node.function_span)


def applied(context: Context, name: str, args: tuple[Typed, ...], span: Span, at: Span) -> Typed:
    """The call of an operator by its name in the registry, such as `_+_`; faults are told at `at`."""
    return _resolved(context, context.scope.functions.by_name[name], args, span, at)


def _resolved(context: Context, known: Sequence[Overload], args: tuple[Typed, ...], span: Span, at: Span) -> Typed:
    if any(arg.type == ERROR for arg in args):
        return typed.Const(span, ERROR, None)
    found = [(each, result) for each in known if (result := _result(each, args)) is not None]
    if not found:
        return _no_overload(context, known, args, at)
    if not any(holds(arg.type, DYN) for arg in args):
        return _applied(context, found[0][0], found[0][1], args, span)
    result = found[0][1]
    for _, other in found[1:]:
        result = join(result, other) or DYN
    ids = tuple(each.id for each, _ in found)
    return typed.Apply(span, result, known[0].name, ids, _packed(found[0][0], args, span), dynamic=True)


def _result(overload: Overload, args: Sequence[Typed]) -> Type | None:
    """The type of the call, or None when the overload does not take these arguments."""
    params = overload.params * len(args) if overload.variadic else overload.params
    if len(params) != len(args) or (not args and overload.variadic):
        return None
    bindings: Bindings = {}
    if not all(fits(arg.type, param, bindings) for arg, param in zip(args, params, strict=True)):
        return None
    return settled(overload.result, bindings)


def _applied(context: Context, overload: Overload, result: Type, args: tuple[Typed, ...], span: Span) -> Typed:
    if context.scope.strict:
        for position in overload.constant:
            if not isinstance(args[position], Const):
                return context.fault("not-constant", "this must be written out here", args[position].span)
    tree = typed.Apply(span, result, overload.name, (overload.id,), _packed(overload, args, span))
    return _proved(context, overload, tree) if context.scope.strict else tree


def _proved(context: Context, overload: Overload, tree: typed.Apply) -> Typed:
    """A call whose constant arguments make no sense, such as a broken pattern, is told now and not when it runs."""
    for position in overload.constant:
        fault = overload.judge(tree.args[position].value) if overload.judge else ""  # type: ignore[union-attr]
        if fault:
            return context.fault("wrong-value", fault, tree.args[position].span)
    return tree


def _packed(overload: Overload, args: tuple[Typed, ...], span: Span) -> tuple[Typed, ...]:
    """The arguments as the overload takes them: those of a variadic one as one list."""
    if not overload.variadic:
        return args
    element = args[0].type
    for arg in args[1:]:
        element = join(element, arg.type) or DYN
    return (typed.MakeList(span, List(element), args),)


# ── what to say ─────────────────────────────────────────────────────────────────────────────────────────────────


def _unknown(context: Context, name: str, node: syntax.CallOf, *, method: bool) -> Typed:
    functions = context.scope.functions.by_name
    at = node.function_span
    if name in functions:
        message = f"{name} is not called like this"
        return context.fault("wrong-call", message, at, expected=_forms(functions[name]))
    words = [each for each, overloads in functions.items() if each[0] != "_" and overloads[0].method == method]
    near = did_you_mean(name, words)
    remedy = f"did you mean {_forms(functions[near])}?" if near else ""
    return context.fault("unknown-function", f"there is no {name}()", at, suggestion=remedy)


def _no_overload(context: Context, known: Sequence[Overload], args: Sequence[Typed], at: Span) -> Typed:
    kinds = ", ".join(str(arg.type) for arg in args)
    if not any(len(each.params) == len(args) or each.variadic for each in known):
        message = f"{known[0].name} is not called like this"
        return context.fault("wrong-call", message, at, expected=_forms(known))
    if (sign := known[0].name.strip("_")) and not sign[0].isalpha():
        return _no_operator(context, sign, args, at)
    return context.fault("wrong-type", f"{known[0].name} takes no ({kinds})", at, expected=_forms(known))


def _no_operator(context: Context, sign: str, args: Sequence[Typed], at: Span) -> Typed:
    types = [arg.type for arg in args]
    if sign[0] in "[?":
        return context.fault("wrong-type", f"{types[0]} cannot be indexed by {types[1]}", args[1].span)
    message = f"there is no {f' {sign} '.join(map(str, types))}" if len(args) == 2 else f"there is no {sign}{types[0]}"
    whole = next((arg for arg in args if isinstance(arg, Const) and str(arg.type) == "int"), None)
    mixed = {str(type_) for type_ in types} == {"int", "double"}
    remedy = f"write {whole.value}.0" if whole is not None and mixed else ""
    return context.fault("wrong-type", message, at, suggestion=remedy)


def _forms(overloads: Sequence[Overload]) -> str:
    forms = list(dict.fromkeys(each.form for each in overloads))
    return " or ".join(forms[:3]) + (" or …" if len(forms) > 3 else "")
