"""Plain data of a tree back to the syntax that a person could have written, for the checker of this device to judge.

Nothing that the data say of types is believed, or even looked at, here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from policies.bundle.constants import is_literal, literal_value, param_value
from policies.bundle.errors import BundleError, Refusal
from policies.language import syntax
from policies.language.cost import MAX_STEPS
from policies.language.declarations import Declaration
from policies.language.library import STANDARD
from policies.language.names import TYPE_NAMES
from policies.language.parser import LIMITS
from policies.language.syntax import Node, Span
from policies.language.typed import Const, MakeList
from policies.language.types import STRING, List

MAX_DEPTH: Final = 60
"""More than an expression of the deepest kind has, its variable lists of arguments and its ranks counted."""
MAX_OPTIONAL: Final = LIMITS.characters // 3
"""An element that may be left out takes three characters of an expression; what follows looks each up among all."""
_HERE: Final = Span(0, 0)
_NOT_SO: Final = "a function is not called like this"
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})
_MACROS: Final = {
    "all": "all",
    "exists": "exists",
    "exists_one": "exists_one",
    "filter": "filter",
    "map": "map",
    "transform_list": "transformList",
    "transform_map": "transformMap",
    "transform_map_entry": "transformMapEntry",
}
_OVER_OPTIONALS: Final = {"map": "optMap", "flat_map": "optFlatMap"}


class Rebuilding:
    """Rebuilds one expression. `constants`: those that no literal can be, by the names they are given."""

    def __init__(self, inputs: Mapping[str, Declaration], variables: int) -> None:
        self._inputs = inputs
        self._variables = variables
        self._bound: set[int] = set()
        self._depth = 0
        self._nodes = 0
        self.constants: dict[str, Const | MakeList] = {}

    def node(self, data: Any) -> Node:
        """The syntax of one node. Raises BundleError."""
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise _refused(f"a tree is deeper than {MAX_DEPTH} levels")
        if self._nodes > MAX_STEPS:  # a node is a step at least
            raise BundleError(Refusal.TOO_COSTLY, f"a tree has more than {MAX_STEPS} nodes")
        built = self._leaf(data) or self._compound(data)
        self._depth -= 1
        return built

    def nodes(self, data: Sequence[Any]) -> tuple[Node, ...]:
        """As `node`, for each."""
        return tuple(map(self.node, data))

    def _leaf(self, data: Any) -> Node | None:
        match data:
            case ["const", str(type_), value]:
                return self._constant(type_, value)
            case ["input", _, str(name)]:
                return self._input(name)
            case ["has", _, str(name)]:
                return _call("has", None, self._input(name))
            case ["maybe", _, str(name)]:
                return _maybe(self._input(name))
            case ["list", "list(string)", [], []]:
                return self._empty_list()
            case ["variable", _, int(index)] if 0 <= index < self._variables:
                return _path(variable_name(index))
            case ["local", _, int(slot)] if slot in self._bound:
                return _local(slot)
        return None

    def _compound(self, data: Any) -> Node:
        match data:
            case ["or", _, str(name), otherwise]:
                return _call("orValue", self._input(name), self.node(otherwise))
            case ["not", _, operand]:
                return syntax.Unary(_HERE, "!", self.node(operand))
            case ["all" | "any" as kind, _, [_, _, *_] as operands]:
                return syntax.Junction(_HERE, "&&" if kind == "all" else "||", self.nodes(operands))
            case ["if", _, *parts] if len(parts) == 3:
                return syntax.Choice(_HERE, *self.nodes(parts))
            case ["compare", _, str(operator), left, right] if operator in _COMPARISONS:
                return _binary(operator, self.node(left), self.node(right))
            case ["rank", _, operand, _]:
                return self.node(operand)
            case ["call", _, str(id_), list(args)]:
                return self._called(id_, self.nodes(args))
            case ["macro" | "let", *_]:
                return self._binding(data)
            case ["list", _, list(items), list(optional)]:
                marked = _marks(optional)
                pairs = enumerate(self.nodes(items))
                return syntax.ListOf(_HERE, tuple(syntax.Element(item, at in marked) for at, item in pairs))
            case ["map", _, list(keys), list(values), list(optional)] if len(keys) == len(values):
                marked = _marks(optional)
                entries = enumerate(zip(self.nodes(keys), self.nodes(values), strict=True))
                return syntax.MapOf(_HERE, tuple(syntax.Entry(k, v, at in marked) for at, (k, v) in entries))
        raise _refused("a tree holds what is no node, or a name that is not bound there")

    # ── names and constants ─────────────────────────────────────────────────────────────────────────────────────

    def _input(self, name: str) -> Node:
        if name not in self._inputs:
            raise _refused("a tree reads a fact that this device does not know")
        return _path(name)

    def _constant(self, type_: str, raw: Any) -> Node:
        if not is_literal(type_):
            return self._named(Const(_HERE, *param_value(type_, raw)))
        value = literal_value(type_, raw)
        if type_ != "type":
            return syntax.Literal(_HERE, value)
        if value.name not in TYPE_NAMES:
            raise _refused("a constant is no type's name")
        return _path(value.name)

    def _empty_list(self) -> Node:
        """A param may be an empty list of texts; a literal could not say of what it is one."""
        return self._named(MakeList(_HERE, List(STRING), ()))

    def _named(self, constant: Const | MakeList) -> Node:
        name = f"constants.k{len(self.constants)}"
        self.constants[name] = constant
        return _path(name)

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _called(self, id_: str, args: tuple[Node, ...]) -> Node:
        overload = STANDARD.by_id.get(id_)
        if overload is None:
            raise _refused("a tree calls a function that this device does not know")
        if overload.variadic:
            args = _unpacked(args)
        if overload.name == "has" or not overload.name.strip("_")[:1].isalpha():
            return _operator(overload.name, args)
        if overload.method:
            if not args:
                raise _refused(_NOT_SO)
            return _call(overload.name, *args)
        namespace, _, function = overload.name.rpartition(".")
        return _call(function, _path(namespace) if namespace else None, *args)

    def _binding(self, data: Any) -> Node:
        match data:
            case ["macro", _, str(kind), [int(slot), *others] as slots, range_, body, when] if kind in _MACROS:
                if len(others) > 1 or slot in others or any(type(each) is not int for each in others):
                    raise _refused(_NOT_SO)
                target = self.node(range_)
                bodies = self._inside(slots, [body] if when is None else [when, body])
                return _call(_MACROS[kind], target, *map(_local, slots), *bodies)
            case ["let", _, "bind", int(slot), value, body]:
                bound = self.node(value)
                return _call("bind", syntax.Ident(_HERE, "cel"), _local(slot), bound, *self._inside([slot], [body]))
            case ["let", _, str(kind), int(slot), value, body] if kind in _OVER_OPTIONALS:
                target = self.node(value)
                return _call(_OVER_OPTIONALS[kind], target, _local(slot), *self._inside([slot], [body]))
        raise _refused(_NOT_SO)

    def _inside(self, slots: Sequence[int], parts: Sequence[Any]) -> tuple[Node, ...]:
        """Nodes that may read the slots. A slot is bound once in a tree, as the checker counts them."""
        if not self._bound.isdisjoint(slots):
            raise _refused("a tree binds a name inside of itself")
        self._bound.update(slots)
        built = self.nodes(parts)
        self._bound.difference_update(slots)
        return built


def variable_name(index: int) -> str:
    """What a variable is called while a tree is rebuilt."""
    return f"variables.v{index}"


def _local(slot: int) -> Node:
    return syntax.Ident(_HERE, f"x{slot}")


def _path(name: str) -> Node:
    first, *fields = name.split(".")
    node: Node = syntax.Ident(_HERE, first)
    for field in fields:
        node = syntax.Select(_HERE, node, field, _HERE)
    return node


def _maybe(node: Node) -> Node:
    if not isinstance(node, syntax.Select):
        raise _refused("a fact without a dot is never optional")
    return syntax.Select(_HERE, node.operand, node.field, _HERE, optional=True)


def _call(function: str, target: Node | None, *args: Node) -> Node:
    return syntax.CallOf(_HERE, function, _HERE, target, args)


def _binary(operator: str, left: Node, right: Node) -> Node:
    return syntax.Binary(_HERE, operator, _HERE, left, right)


def _marks(optional: Sequence[Any]) -> set[int]:
    if len(optional) > MAX_OPTIONAL:
        raise _refused(f"more than {MAX_OPTIONAL} elements may be left out")
    return {at for at in optional if type(at) is int}


def _unpacked(args: tuple[Node, ...]) -> tuple[Node, ...]:
    """The arguments of a function that takes any number, which a typed tree holds as one list."""
    match args:
        case (syntax.ListOf(elements=elements),):
            return tuple(element.value for element in elements)
    raise _refused(_NOT_SO)


def _operator(name: str, args: tuple[Node, ...]) -> Node:
    """The form of a call that is written with signs, or as has()."""
    match name, args:
        case "-_", (operand,):
            return syntax.Unary(_HERE, "-", operand)
        case (("_[_]" | "_[?_]"), (operand, index)):
            return syntax.IndexOf(_HERE, operand, index, optional="?" in name)
        case (("_._" | "_?._" | "has"), (operand, syntax.Literal(value=str(field)))):
            select = syntax.Select(_HERE, operand, field, _HERE, optional="?" in name)
            return _call("has", None, select) if name == "has" else select
        case _, (left, right):
            return _binary(name[1:-1], left, right)
    raise _refused(_NOT_SO)


def _refused(message: str) -> BundleError:
    return BundleError(Refusal.TREE, message)
