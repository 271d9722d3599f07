"""Typed trees to formulas. A condition becomes two: when it is true, and when it is false; elsewhere it fails."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod
from typing import Any, Final, NamedTuple

from policies.analysis.cells import ORDERED, after_prefix, constants_in, is_finite
from policies.analysis.formulas import FALSE, TRUE
from policies.analysis.space import Space
from policies.language import typed
from policies.language.evaluate import Evaluator
from policies.language.library import STANDARD
from policies.language.typed import Typed
from policies.language.types import BOOL, Type
from policies.language.values import EvaluationError, Value

_COMPARISONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_EQUALITY: Final = frozenset({"equals", "unequal", "contains_string", "contains_element", "contains_key"})
"""Overloads that look at their first argument by equality alone."""
_MAX_CASES: Final = 64


class Truth(NamedTuple):
    """Formulas: a condition is true; it is false. Where neither holds, it has no value."""

    yes: int
    no: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """A constant, or what a function makes of one variable.

    variable: None for a constant. value: from the variable's value.
    even: the same all over each cell, so that any function of it is too.
    """

    variable: int | None
    value: Callable[[Value], Value]
    even: bool


Cases = tuple[tuple[int, Leaf], ...]
"""A value by cases: formulas that exclude each other, and what it is then. Where none holds, it has no value."""


def _same(value: Value) -> Value:
    return value


def _constant(value: Value) -> Leaf:
    return Leaf(None, lambda _: value, even=True)


_YES: Final = _constant(True)
_NO: Final = _constant(False)


class Reader:
    """Reads the trees of one document into a space, once before it is settled and once after."""

    def __init__(self, space: Space, variables: Sequence[Typed]) -> None:
        self._space = space
        self._all = space.formulas
        self._variables = variables
        self._keys: list[int] = []
        self._truths: list[Truth] = []
        self._cases: list[Cases | None] = []
        for tree in variables:  # each reads earlier ones only
            is_bool = tree.type == BOOL
            truth = self.truth(tree) if is_bool else Truth(FALSE, FALSE)
            cases = ((truth.yes, _YES), (truth.no, _NO)) if is_bool else self._by_cases(tree)
            key = space.terms.key(tree, self._keys)
            self._truths.append(truth)
            self._cases.append(cases)
            self._keys.append(key)

    # ── conditions ──────────────────────────────────────────────────────────────────────────────────────────────

    def truth(self, node: Typed) -> Truth:
        """When a condition is true, and when it is false."""
        match node:
            case typed.Not():
                operand = self.truth(node.operand)
                return Truth(operand.no, operand.yes)
            case typed.Logic():
                return self._logic(node)
            case typed.If():
                return self._choice(*(self.truth(part) for part in typed.children(node)))
            case typed.VariableRead():
                return self._truths[node.index]
            case typed.InputPresent():
                there = self._space.is_there(self._space.input(node.source))
                return Truth(there, self._all.negated(there))
            case _:
                cases = self._by_cases(node)
                assert cases is not None  # a bool always has cells
                return self._decided(cases)

    def _logic(self, node: typed.Logic) -> Truth:
        """An operand that settles the matter wins, even beside one that fails."""
        operands = [self.truth(operand) for operand in node.operands]
        yes, no = [each.yes for each in operands], [each.no for each in operands]
        if node.every:
            return Truth(self._all.every(yes), self._all.some(no))
        return Truth(self._all.some(yes), self._all.every(no))

    def _choice(self, condition: Truth, then: Truth, otherwise: Truth) -> Truth:
        every, some = self._all.every, self._all.some
        yes = some([every([condition.yes, then.yes]), every([condition.no, otherwise.yes])])
        return Truth(yes, some([every([condition.yes, then.no]), every([condition.no, otherwise.no])]))

    def _decided(self, cases: Cases) -> Truth:
        yes: list[int] = []
        no: list[int] = []
        for guard, leaf in cases:
            if leaf.variable is None:
                (yes if leaf.value(None) is True else no).append(guard)
                continue
            holds, fails = self._space.where(leaf.variable, leaf.value)
            yes.append(self._all.every([guard, holds]))
            no.append(self._all.every([guard, fails]))
        return Truth(self._all.some(yes), self._all.some(no))

    # ── values ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _by_cases(self, node: Typed) -> Cases | None:
        """A value by cases; None where the analysis cannot look into it."""
        if node.type == BOOL and isinstance(node, typed.Not | typed.Logic | typed.If | typed.InputPresent):
            truth = self.truth(node)
            return ((truth.yes, _YES), (truth.no, _NO))
        match node:
            case typed.Const():
                return ((TRUE, _constant(node.value)),)
            case typed.VariableRead():
                return self._cases[node.index]
            case typed.Input():
                return self._input(node)
            case typed.InputOr():
                return self._input_or(node)
            case typed.If():
                return self._either(node)
            case typed.Rank():
                return self._applied(node, (node.operand,), node.order.index, sharp=False)
            case typed.Compare():
                return self._applied(node, (node.left, node.right), _COMPARISONS[node.operator], sharp=True)
            case typed.MakeList() if not node.optional:
                return self._applied(node, node.items, lambda *items: list(items), sharp=False)
            case typed.MakeMap():
                return self._map(node)
            case typed.Apply() if not node.dynamic:
                return self._apply(node)
            case _:
                return self._term(node)

    def _input(self, node: typed.Input | typed.InputOr) -> Cases | None:
        variable = self._space.input(node.source)
        if not _is_core(node.source.type):
            return None
        return ((self._space.is_there(variable), Leaf(variable, _same, self._space.is_finite(variable))),)

    def _input_or(self, node: typed.InputOr) -> Cases | None:
        ours, other = self._input(node), self._by_cases(node.otherwise)
        if ours is None or other is None:
            return self._term(node)
        if len(other) >= _MAX_CASES:
            return self._term(node)
        absent = self._all.negated(self._space.is_there(self._space.input(node.source)))
        return (*ours, *((self._all.every([absent, guard]), leaf) for guard, leaf in other))

    def _either(self, node: typed.If) -> Cases | None:
        condition, sides = self.truth(node.condition), (self._by_cases(node.then), self._by_cases(node.otherwise))
        if sides[0] is None or sides[1] is None or len(sides[0]) + len(sides[1]) > _MAX_CASES:
            return self._term(node)
        pairs = [(when, case) for when, cases in zip(condition, sides, strict=True) for case in cases or ()]
        return tuple((self._all.every([when, guard]), leaf) for when, (guard, leaf) in pairs)

    def _map(self, node: typed.MakeMap) -> Cases | None:
        if all(isinstance(part, typed.Const) for part in typed.children(node)):
            return self._combined(node, TRUE, [], lambda: Evaluator({}).value(node), sharp=False)
        return self._term(node)

    def _apply(self, node: typed.Apply) -> Cases | None:
        overload = STANDARD.by_id[node.candidates[0]]
        if overload.id == "has_value" and isinstance(node.args[0], typed.InputMaybe):
            there = self._space.is_there(self._space.input(node.args[0].source))
            return ((there, _YES), (self._all.negated(there), _NO))
        if overload.variadic:
            return self._term(node)
        return self._applied(node, node.args, overload.run, sharp=_is_sharp(overload.id))

    def _applied(
        self, node: Typed, operands: Sequence[Typed], run: Callable[..., Value], *, sharp: bool
    ) -> Cases | None:
        """sharp: what `run` says of a plain variable changes at the constants that stand beside it, and only there."""
        known = [cases for operand in operands if (cases := self._by_cases(operand)) is not None]
        if len(known) < len(operands) or prod(map(len, known)) > _MAX_CASES:
            return self._term(node)
        out: list[tuple[int, Leaf]] = []
        for chosen in product(*known):
            guard = self._all.every(guard for guard, _ in chosen)
            cases = self._combined(node, guard, [leaf for _, leaf in chosen], run, sharp=sharp)
            if cases is None:
                return None
            out += cases
        return tuple(out) if len(out) <= _MAX_CASES else self._term(node)

    def _combined(
        self, node: Typed, guard: int, leaves: Sequence[Leaf], run: Callable[..., Value], *, sharp: bool
    ) -> Cases | None:
        """What `run` makes of leaves."""
        variables = {leaf.variable for leaf in leaves if leaf.variable is not None}
        if not variables:
            try:
                return ((guard, _constant(run(*(leaf.value(None) for leaf in leaves)))),)
            except EvaluationError:
                return ()
        if len(variables) == 1:
            return self._of_one(node, guard, leaves, run, sharp=sharp)
        words = next((each for each in sorted(variables) if self._space.is_finite(each)), None)
        return self._guarded(node, guard) if words is None else self._split(node, guard, leaves, run, words, sharp)

    def _of_one(
        self, node: Typed, guard: int, leaves: Sequence[Leaf], run: Callable[..., Value], *, sharp: bool
    ) -> Cases | None:
        variable = next(leaf.variable for leaf in leaves if leaf.variable is not None)
        if not all(leaf.even for leaf in leaves):
            if not sharp or not _meets_constants(node, leaves) or any(_is_made(leaf) for leaf in leaves):
                return self._guarded(node, guard)
            self._space.cut(variable, _cuts(node, leaves))
        return ((guard, Leaf(variable, lambda value: run(*(leaf.value(value) for leaf in leaves)), even=True)),)

    def _split(
        self, node: Typed, guard: int, leaves: Sequence[Leaf], run: Callable[..., Value], words: int, sharp: bool
    ) -> Cases | None:
        """Two variables at least: one case for each value of one that has few."""
        out: list[tuple[int, Leaf]] = []
        for word in self._space.words(words):
            is_word, _ = self._space.where(words, partial(operator.eq, word))
            try:
                fixed = [_constant(leaf.value(word)) if leaf.variable == words else leaf for leaf in leaves]
            except EvaluationError:
                continue
            cases = self._combined(node, self._all.every([guard, is_word]), fixed, run, sharp=sharp)
            if cases is None:
                return None
            out += cases
        return tuple(out)

    # ── what it does not look into ──────────────────────────────────────────────────────────────────────────────

    def _guarded(self, node: Typed, guard: int) -> Cases | None:
        cases = self._term(node)
        return None if cases is None else tuple((self._all.every([guard, when]), leaf) for when, leaf in cases)

    def _term(self, node: Typed) -> Cases | None:
        """`node` as a variable of its own; None where its type has no cells."""
        hints = {each.value for each in typed.walk(node) if isinstance(each, typed.Const) and _plain(each.value)}
        variable = self._space.term(node, self._space.terms.key(node, self._keys), self._variables, hints)
        return ((TRUE, Leaf(variable, _same, is_finite(node.type))),) if _is_core(node.type) else None


def _plain(value: Value) -> bool:
    return isinstance(value, str | int | float)


def _is_core(type_: Type) -> bool:
    return type_ in ORDERED or is_finite(type_)


def _is_sharp(overload: str) -> bool:
    return overload in _EQUALITY or overload == "starts_with"


def _meets_constants(node: Typed, leaves: Sequence[Leaf]) -> bool:
    """A plain variable stands where the function compares it: anywhere in a comparison, first in a call."""
    return isinstance(node, typed.Compare) or all(leaf.variable is None for leaf in leaves[1:])


def _is_made(leaf: Leaf) -> bool:
    """What a function made of a variable: beside the plain variable itself it would need cuts of its own."""
    return leaf.variable is not None and leaf.even


def _cuts(node: Typed, leaves: Sequence[Leaf]) -> list[Value]:
    """Where the line of the variable is to be cut for this atom."""
    constants = [part for leaf in leaves if leaf.variable is None for part in constants_in(leaf.value(None))]
    if isinstance(node, typed.Apply) and node.candidates[0] == "starts_with":
        return [*constants, *(end for each in constants if (end := after_prefix(each)) is not None)]
    return constants
