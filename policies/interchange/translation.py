"""Foreign expressions as ours: read, names replaced over the syntax tree by a table, and checked against our facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from policies.facts import INPUTS
from policies.interchange.foreign import Foreign
from policies.interchange.trees import NOWHERE, dotted, is_free, own_text, placed, rewrite
from policies.language.checker import check
from policies.language.parser import parse
from policies.language.scope import Scope
from policies.language.syntax import CallOf, Fault, Ident, Node, Select, path_of
from policies.language.types import BOOL, Type
from policies.language.unparse import unparse
from policies.source import Located, Scalar

_CASELESS: Final = "headers."


@dataclass(frozen=True, slots=True)
class Names:
    """What foreign names stand for.

    ours: dotted foreign name, `headers.x-tier` for `headers["X-Tier"]`, to a tree of ours. Names that are in neither
        table stay as they are, so that our own facts keep their names.
    refused: names that have no counterpart, with the reason. It may be the first word of a dotted name.
    values: what foreign variables hold, for outputs that name one.
    """

    ours: Mapping[str, Node] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Node] = field(default_factory=dict)


def names_of(table: Mapping[str, str], refused: Mapping[str, str]) -> Names:
    """From expressions as text. Raises ValueError for one that cannot be read."""
    ours = {foreign: own_text(text) for foreign, text in table.items()}
    return Names(ours, {name: reason for name, reason in refused.items() if name not in ours})


class Translator:
    """Translates the expressions of one document; what it cannot translate is noted there."""

    def __init__(self, foreign: Foreign) -> None:
        self._foreign = foreign
        self._variables: dict[str, tuple[int, Type]] = {}

    def read(self, scalar: Located, path: str, names: Names) -> Node | None:
        """The tree under our names. None when its problems were told, or a name has no counterpart."""
        node = self.tree(scalar)
        return None if node is None or not isinstance(scalar, Scalar) else self.renamed(node, scalar, path, names)

    def tree(self, scalar: Located) -> Node | None:
        """The tree as it is written. None when its problems were told."""
        if not isinstance(scalar, Scalar) or scalar.value is None:
            self._foreign.wrong(scalar, "an expression")
            return None
        node, faults = parse(scalar.raw)
        for fault in faults:
            self._foreign.tell_fault(fault, scalar)
        return None if faults else node

    def renamed(self, node: Node, scalar: Scalar, path: str, names: Names) -> Node | None:
        """The tree under our names; None when one has no counterpart, which is noted."""
        change = _Replacing(names)
        out = rewrite(node, change)
        for reason in change.reasons[:1]:
            self._foreign.skip(path, scalar, reason)
        return None if change.reasons else out

    def condition(self, scalar: Located, path: str, names: Names) -> Node | None:
        """The tree of a condition that holds for our facts; None when what hinders it was noted."""
        node = self.read(scalar, path, names)
        return None if node is None or not self.holds(node, scalar, path) else node

    def holds(self, node: Node, scalar: Located, path: str) -> bool:
        """Whether a tree is a sound condition; what hinders it is noted."""
        reason = self.fault(node, BOOL)
        if reason:
            self._foreign.skip(path, scalar, reason)
        return not reason

    def fault(self, node: Node, expected: Type | None) -> str:
        """Why a tree is no expression of ours, in a sentence; empty when it is one."""
        _, faults = check(node, self._scope(), expected)
        return _sentence(faults[0]) if faults else _written_fault(node)

    def declare(self, name: str, node: Node) -> None:
        """Make a sound tree known as the variable `name` of our document."""
        tree, _ = check(node, self._scope(), None)
        self._variables[f"variables.{name}"] = (len(self._variables), tree.type)

    def _scope(self) -> Scope:
        return Scope(INPUTS, {}, self._variables)


class _Replacing:
    """The change of one expression; `reasons` tells of names without a counterpart."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.reasons: list[str] = []

    def __call__(self, node: Node, bound: frozenset[str]) -> Node | None:
        if isinstance(node, Select) and node.optional:
            return self._maybe(node, bound)
        name = dotted(node)
        if name is None or not is_free(node, bound):
            return None
        if name.startswith(_CASELESS):
            name = name.lower()
        if name in self._names.ours:
            return placed(self._names.ours[name], node.span, bound)
        if name in self._names.refused:
            self.reasons.append(self._names.refused[name])
            return node
        return None

    def _maybe(self, node: Select, bound: frozenset[str]) -> Node | None:
        """`a.?b`: an optional of what `a.b` stands for."""
        name = dotted(replace(node, optional=False))
        if name is None or name not in self._names.ours or not is_free(node, bound):
            return None
        found = self._names.ours[name]
        source = INPUTS.get(path_of(found) or "")
        if source is not None and source.optional and isinstance(found, Select):
            return placed(replace(found, optional=True), node.span, bound)
        of = CallOf(NOWHERE, "of", NOWHERE, Ident(NOWHERE, "optional"), (found,))
        return placed(of, node.span, bound)


def _sentence(fault: Fault) -> str:
    more = [f"expected {fault.expected}"] if fault.expected else []
    more += [fault.suggestion] if fault.suggestion else []
    return "; ".join([fault.message, *more])


def _written_fault(node: Node) -> str:
    """Why a sound tree cannot be written down: longer or deeper than expressions are."""
    try:
        _, faults = parse(unparse(node))
    except ValueError as error:
        return str(error)
    return _sentence(faults[0]) if faults else ""
