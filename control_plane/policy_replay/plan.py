"""Typed trees to steps over blocks of columns. What has no array form is looked up by word, or left in doubt."""

# A subtree that reads one fact of words (an enum, a text) is worth one value for each word: the compiled scalar form
# computes it once for each, whatever it does, and rows look it up by code. Numbers and switches go through NumPy. A
# subtree that reads several facts of words is looked up by all their combinations when these are few. The rest is in
# doubt: choose.py settles it row by row.

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from control_plane.policy_replay.arithmetic import ORDERS, OVERLOADS, Vector, either, equal
from control_plane.policy_replay.columns import PLAIN, Array, Column, Mask, Table
from policies.language import typed
from policies.language.compile import compile_value, inputs_of
from policies.language.functions import Registry
from policies.language.library import STANDARD
from policies.language.typed import Typed
from policies.language.types import BOOL, Type

MAX_COMBINATIONS: Final = 65_536


class Block:
    """Some rows of a table, and what variables were worth there."""

    def __init__(self, table: Table, rows: slice) -> None:
        self._table = table
        self._rows = rows
        self.size = rows.stop - rows.start
        self.variables: dict[int, Vector] = {}

    def data(self, name: str) -> Array:
        """The values or codes of one fact."""
        return self._table.columns[name].data[self._rows]

    def present(self, name: str) -> Mask | None:
        """Where one fact is there; None: everywhere."""
        mask = self._table.columns[name].present
        return None if mask is None else mask[self._rows]

    def everywhere(self) -> Mask:
        """True for every row."""
        return np.ones(self.size, np.bool_)


Step = Callable[[Block], Vector]


class Planner:
    """Makes steps for the trees of one document over one table, which holds every input that they read."""

    def __init__(self, table: Table, variables: Sequence[Typed], functions: Registry = STANDARD) -> None:
        self._columns: Mapping[str, Column] = table.columns
        self._variables = variables
        self._functions = functions

    def step(self, node: Typed) -> Step:
        """The value of `node`, which is bool, int or double, for a block."""
        names = [source.name for source in inputs_of([node], self._variables)]
        if len(names) == 1 and self._columns[names[0]].words is not None:
            return self._looked_up(node, names)
        built = self._native(node) if names else None
        if built is not None:
            return built
        few = math.prod(self._count(name) for name in names) <= MAX_COMBINATIONS
        return self._looked_up(node, names) if few else _in_doubt(node.type)

    # ── looking up ──────────────────────────────────────────────────────────────────────────────────────────────

    def _count(self, name: str) -> int:
        """How many values a fact has here, absence included; beyond all bounds for numbers."""
        column = self._columns[name]
        if column.words is not None:
            return len(column.words)
        return 3 if column.declared.type == BOOL else MAX_COMBINATIONS + 1

    def _values(self, name: str) -> Sequence[Any]:
        words = self._columns[name].words
        return (False, True, None) if words is None else words

    def _looked_up(self, node: Typed, names: Sequence[str]) -> Step:
        """The value of every combination of words, computed once; one that has none is in doubt."""
        results, failed = self._results(node, names)
        shape = [self._count(name) for name in names]

        def run(block: Block) -> Vector:
            if not names:
                return Vector(np.broadcast_to(results, block.size), block.everywhere() if failed.any() else None)
            codes = _combined([_codes(block, name) for name in names], shape)
            return Vector(_taken(results, codes), failed[codes] if failed.any() else None)

        return run

    def _results(self, node: Typed, names: Sequence[str]) -> tuple[Array, Mask]:
        value = compile_value(node, self._variables, self._functions)
        combinations = list(itertools.product(*(self._values(name) for name in names)))
        results = np.zeros(len(combinations), PLAIN[_plain_type(node.type)][1])
        failed = np.zeros(len(combinations), np.bool_)
        for place, words in enumerate(combinations):
            try:
                results[place] = value(dict(zip(names, words, strict=True)))
            except Exception:  # noqa: BLE001 - a combination that no row has may do anything; the scalar form tells
                failed[place] = True
        return results, failed

    # ── arrays ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _native(self, node: Typed) -> Step | None:
        """A step of NumPy operations, or None where there is none for this node."""
        match node:
            case typed.Input() | typed.InputOr() | typed.InputPresent():
                return self._input(node)
            case typed.VariableRead() if node.type in PLAIN:
                return self._variable(node.index)
            case typed.Not():
                return _applied(lambda value: Vector(np.logical_not(value)), [self.step(node.operand)])
            case typed.Logic():
                return _every(self._steps(node)) if node.every else _some(self._steps(node))
            case typed.If() if node.type in PLAIN:
                return _chosen(self._steps(node))
            case typed.Compare():
                return self._compare(node)
            case typed.Apply() if not node.dynamic:
                return self._apply(node)
        return None

    def _steps(self, node: Typed) -> list[Step]:
        return [self.step(child) for child in typed.children(node)]

    def _input(self, node: typed.Input | typed.InputOr | typed.InputPresent) -> Step | None:
        name = node.source.name
        if isinstance(node, typed.InputPresent):
            return lambda block: Vector(_or_everywhere(block, block.present(name)))
        if node.source.type not in PLAIN or node.type != node.source.type:
            return None
        if isinstance(node, typed.Input):
            return lambda block: Vector(block.data(name))
        return _or_else(name, self.step(node.otherwise)) if node.otherwise.type == node.type else None

    def _variable(self, index: int) -> Step:
        step = self.step(self._variables[index])

        def run(block: Block) -> Vector:
            if index not in block.variables:
                block.variables[index] = step(block)
            return block.variables[index]

        return run

    def _compare(self, node: typed.Compare) -> Step | None:
        kinds = {node.left.type, node.right.type}
        if not all(kind in PLAIN for kind in kinds) or (len(kinds) > 1 and BOOL in kinds):
            return None
        steps, mixed = self._operands(node), len(kinds) > 1
        if node.operator == "==":
            return _applied(lambda a, b: equal(a, b, mixed=mixed), steps)
        if node.operator == "!=":
            return _applied(lambda a, b: _inverted(equal(a, b, mixed=mixed)), steps)
        compare = ORDERS[node.operator]
        return None if mixed else _applied(lambda a, b: Vector(compare(a, b)), steps)

    def _apply(self, node: typed.Apply) -> Step | None:
        id_ = node.candidates[0]
        if id_ in OVERLOADS:
            return _applied(OVERLOADS[id_], self._operands(node))
        if id_ == "contains_element" and isinstance(node.args[1], typed.MakeList):
            return self._member(node.args[0], node.args[1])
        return None

    def _member(self, element: Typed, items: typed.MakeList) -> Step | None:
        """`number in [1, 2]` as one equality after the other."""
        values = [item.value for item in items.items if isinstance(item, typed.Const) and item.type == element.type]
        if element.type not in PLAIN or not values or len(values) != len(items.items):
            return None
        step = self.step(element)
        return _some([_applied(_equal_to(value), [step]) for value in values])

    def _operands(self, node: Typed) -> list[Step]:
        """As `_steps`, with literals as plain numbers, which NumPy need not spread over a block."""
        return [_constant(each) if isinstance(each, typed.Const) else self.step(each) for each in typed.children(node)]


def _plain_type(type_: Type) -> Type:
    """Where a word could stand for a result there is no step; the type of all others is their own."""
    assert type_ in PLAIN, type_
    return type_


def _in_doubt(type_: Type) -> Step:
    dtype = PLAIN[_plain_type(type_)][1]
    return lambda block: Vector(np.zeros(block.size, dtype), block.everywhere())


def _constant(node: typed.Const) -> Step:
    vector = Vector(node.value)
    return lambda _block: vector


def _or_everywhere(block: Block, present: Mask | None) -> Mask:
    return block.everywhere() if present is None else present


def _or_else(name: str, otherwise: Step) -> Step:
    def run(block: Block) -> Vector:
        present = block.present(name)
        if present is None:
            return Vector(block.data(name))
        other = otherwise(block)
        doubt = None if other.doubt is None else other.doubt & ~present
        return Vector(np.where(present, block.data(name), other.values), doubt)

    return run


def _codes(block: Block, name: str) -> Array:
    """Codes of words; of a switch false, true, absent, as in `Planner._values`."""
    data = block.data(name)
    if data.dtype != np.bool_:
        return data
    present = block.present(name)
    return data.view(np.uint8) if present is None else np.where(present, data.view(np.uint8), np.uint8(2))


def _combined(codes: Sequence[Array], shape: Sequence[int]) -> Array:
    if len(codes) == 1:
        return codes[0]
    out = codes[0].astype(np.int64)
    for more, count in zip(codes[1:], shape[1:], strict=True):
        out = out * count + more
    return out


def _taken(results: Array, codes: Array) -> Array:
    """`results[codes]`; where one word alone is true or false, by one comparison."""
    if results.dtype == np.bool_ and len(results) > 1:
        count = int(np.count_nonzero(results))
        if count == 1:
            return np.equal(codes, int(results.argmax()))
        if count == len(results) - 1:
            return np.not_equal(codes, int(results.argmin()))
    return results.take(codes)


def _equal_to(value: Any) -> Callable[[Any], Vector]:
    return lambda element: equal(element, value, mixed=False)


def _inverted(vector: Vector) -> Vector:
    return Vector(np.logical_not(vector.values), vector.doubt)


def _applied(run: Callable[..., Vector], steps: Sequence[Step]) -> Step:
    def apply(block: Block) -> Vector:
        parts = [step(block) for step in steps]
        vector = run(*(part.values for part in parts))
        return Vector(vector.values, either(vector.doubt, *(part.doubt for part in parts)))

    return apply


def _chosen(steps: Sequence[Step]) -> Step:
    """The ternary operator: what is not chosen casts no doubt."""

    def run(block: Block) -> Vector:
        condition, then, otherwise = (step(block) for step in steps)
        where = condition.values
        doubts = (None if then.doubt is None else then.doubt & where, condition.doubt)
        other = None if otherwise.doubt is None else otherwise.doubt & ~where
        return Vector(np.where(where, then.values, otherwise.values), either(*doubts, other))

    return run


def _every(steps: Sequence[Step]) -> Step:
    """CEL `&&`: where one is certainly false there is no doubt."""

    def run(block: Block) -> Vector:
        held, doubt = block.everywhere(), None
        for step in steps:
            part = step(block)
            held &= part.values if part.doubt is None else part.values | part.doubt
            doubt = either(doubt, part.doubt)
            if not held.any():
                return Vector(held)
        return Vector(held, None if doubt is None else doubt & held)

    return run


def _some(steps: Sequence[Step]) -> Step:
    """CEL `||`: where one is certainly true there is no doubt."""

    def run(block: Block) -> Vector:
        held, doubt = ~block.everywhere(), None
        for step in steps:
            part = step(block)
            held |= part.values if part.doubt is None else part.values & ~part.doubt
            doubt = either(doubt, part.doubt)
            if held.all():
                return Vector(held)
        return Vector(held, None if doubt is None else doubt & ~held)

    return run
