"""The readable evaluator: walks the typed tree. What the compiled form and the vector form are tested against."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from policies.language import typed
from policies.language.declarations import Declaration, read_input
from policies.language.functions import Registry, dispatch
from policies.language.library import STANDARD
from policies.language.typed import Typed
from policies.language.values import (
    NOTHING,
    EvaluationError,
    Maybe,
    Value,
    key_of,
    kind_of,
    value_of_key,
)

_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Evaluator:
    """Evaluates expressions for one set of inputs.

    variables: typed trees of the document's variables, evaluated when read.
    seen: every input read so far, by name, with its value (None: absent).
    """

    def __init__(
        self, inputs: Mapping[str, Any], variables: Sequence[Typed] = (), functions: Registry = STANDARD
    ) -> None:
        self._inputs = inputs
        self._variables = variables
        self._functions = functions
        self._locals: dict[int, Value] = {}
        self._settled: dict[int, Callable[[], Value]] = {}
        self.seen: dict[str, Value] = {}

    def value(self, node: Typed) -> Value:
        """The value of `node`. Raises EvaluationError when it has none."""
        match node:
            case typed.Const():
                return node.value
            case typed.Input():
                return self._read(node.source)
            case typed.InputPresent():
                return self._read(node.source) is not None
            case typed.InputOr():
                return self._read_or(node)
            case typed.InputMaybe():
                return NOTHING if (value := self._read(node.source)) is None else Maybe(True, value)
            case typed.VariableRead():
                return self._variable(node.index)
            case typed.LocalRead():
                return self._locals[node.slot]
            case typed.Fail():
                raise EvaluationError(node.message)
            case _:
                return self._compound(node)

    def _compound(self, node: Typed) -> Value:
        match node:
            case typed.Not():
                return not self.value(node.operand)
            case typed.Logic():
                return self._settle((self._later(each) for each in node.operands), settled=not node.every)
            case typed.If():
                return self.value(node.then if self.value(node.condition) else node.otherwise)
            case typed.Compare():
                return _COMPARISONS[node.operator](self.value(node.left), self.value(node.right))
            case typed.Rank():
                return node.order.index(self.value(node.operand))
            case typed.Apply():
                return self._apply(node)
            case typed.Comprehension():
                return self._comprehension(node)
            case typed.Let():
                return self._let(node)
            case typed.MakeList():
                return self._list(node)
            case typed.MakeMap():
                return self._map(node)
        raise AssertionError(node)

    # ── inputs and variables ────────────────────────────────────────────────────────────────────────────────────

    def _read(self, source: Declaration) -> Value:
        value = read_input(self._inputs, source)
        self.seen[source.name] = value
        return value

    def _read_or(self, node: typed.InputOr) -> Value:
        value = self._read(node.source)
        return self.value(node.otherwise) if value is None else value

    def _variable(self, index: int) -> Value:
        if index not in self._settled:
            self._settled[index] = self._once(self._variables[index])
        return self._settled[index]()

    def _once(self, tree: Typed) -> Callable[[], Value]:
        """The value of a variable, or its error, as often as it is asked."""
        try:
            value = self.value(tree)
        except EvaluationError as error:
            return _thrower(error)
        return lambda: value

    def _later(self, node: Typed) -> Callable[[], Value]:
        return lambda: self.value(node)

    # ── operators ───────────────────────────────────────────────────────────────────────────────────────────────

    @staticmethod
    def _settle(thunks: Iterator[Callable[[], bool]], *, settled: bool) -> bool:
        """CEL's && and ||: the operand that settles the matter wins, even beside an error; then the first error."""
        first: EvaluationError | None = None
        for thunk in thunks:
            try:
                if thunk() is settled:
                    return settled
            except EvaluationError as error:
                first = first or error
        if first is not None:
            raise first
        return not settled

    def _apply(self, node: typed.Apply) -> Value:
        args = [self.value(arg) for arg in node.args]
        candidates = [self._functions.by_id[id_] for id_ in node.candidates]
        return dispatch(node.name, candidates, args) if node.dynamic else candidates[0].run(*args)

    def _list(self, node: typed.MakeList) -> Value:
        out: list[Value] = []
        for index, item in enumerate(node.items):
            value = self.value(item)
            out += [value] if index not in node.optional else held(value)
        return out

    def _map(self, node: typed.MakeMap) -> Value:
        out: dict[Any, Value] = {}
        for index, (key_node, value_node) in enumerate(zip(node.keys, node.values, strict=True)):
            key, value = key_of(self.value(key_node)), self.value(value_node)
            for kept in [value] if index not in node.optional else held(value):
                add_entry(out, key, kept)
        return out

    def _let(self, node: typed.Let) -> Value:
        value = self.value(node.value)
        if node.kind == "bind":
            return self._with((node.slot,), (value,), node.body)
        if not maybe_of(value).present:
            return NOTHING
        body = self._with((node.slot,), (value.content,), node.body)
        return Maybe(True, body) if node.kind == "map" else maybe_of(body)

    # ── macros ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _with(self, slots: Sequence[int], values: Sequence[Value], body: Typed) -> Value:
        before = dict(self._locals)
        self._locals.update(zip(slots, values, strict=True))
        try:
            return self.value(body)
        finally:
            self._locals = before

    def _comprehension(self, node: typed.Comprehension) -> Value:
        rounds = rounds_of(self.value(node.range), len(node.slots))
        match node.kind:
            case "all" | "exists":
                bodies = (self._bound(node, values) for values in rounds)
                return self._settle(bodies, settled=node.kind == "exists")
            case "exists_one":
                return sum([self._bound(node, values)() for values in rounds]) == 1
            case "filter":
                return [values[0] for values in rounds if self._bound(node, values)()]
        kept = [values for values in rounds if node.when is None or self._with(node.slots, values, node.when)]
        if node.kind in ("map", "transform_list"):
            return [self._bound(node, values)() for values in kept]
        out: dict[Any, Value] = {}
        for values in kept:
            body = self._bound(node, values)()
            entries = {key_of(values[0]): body} if node.kind == "transform_map" else entries_of(body)
            for key, value in entries.items():
                add_entry(out, key, value)
        return out

    def _bound(self, node: typed.Comprehension, values: Sequence[Value]) -> Callable[[], Value]:
        return lambda: self._with(node.slots, values, node.body)


def _thrower(error: EvaluationError) -> Callable[[], Value]:
    def throw() -> Value:
        raise error

    return throw


def rounds_of(range_: Value, names: int) -> list[tuple[Value, ...]]:
    """What a macro binds in each round: element or key; with two names index and element, key and value."""
    match kind_of(range_):
        case "list":
            return list(enumerate(range_)) if names == 2 else [(item,) for item in range_]
        case "map":
            pairs = [(value_of_key(key), value) for key, value in range_.items()]
            return [pair[:names] for pair in pairs]
        case kind:
            raise EvaluationError(f"a {kind} is no list and no map")


def held(value: Value) -> list[Value]:
    """What an optional holds, as a list of none or one. Raises EvaluationError for other values."""
    maybe = maybe_of(value)
    return [maybe.content] if maybe.present else []


def maybe_of(value: Value) -> Maybe:
    """`value`, which must be an optional. Raises EvaluationError."""
    if isinstance(value, Maybe):
        return value
    raise EvaluationError(f"a {kind_of(value)} is no optional")


def entries_of(value: Value) -> dict[Any, Value]:
    """`value`, which must be a map. Raises EvaluationError."""
    if isinstance(value, dict):
        return value
    raise EvaluationError(f"a {kind_of(value)} is no map")


def add_entry(entries: dict[Any, Value], key: Any, value: Value) -> None:
    """Add an entry to a map that is being made. Raises EvaluationError when the key is there."""
    if key in entries:
        raise EvaluationError(f"the key {value_of_key(key)!r} is there twice")
    entries[key] = value


def choose_naively(
    rules: Sequence[Typed], variables: Sequence[Typed], needed: Sequence[Declaration], inputs: Mapping[str, Any]
) -> int:
    """What `compile.compile_choice` computes, spelt out: the position of the first rule that holds.

    needed: the inputs that all rules need together; each is judged before the first rule. Raises EvaluationError.
    """
    for source in needed:
        read_input(inputs, source)
    evaluator = Evaluator(inputs, variables)
    return next((at for at, rule in enumerate(rules) if evaluator.value(rule)), len(rules))
