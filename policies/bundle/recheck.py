"""The device's own judgement of the trees: rebuilt, checked, priced as documents are, and compared with what came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.build import MAX_TOTAL_STEPS
from policies.bundle.canonical import canonical_bytes
from policies.bundle.errors import BundleError, Refusal
from policies.bundle.rebuild import Rebuilding, variable_name
from policies.bundle.trees import encode
from policies.invariants import DECIDED
from policies.language.checker import check
from policies.language.cost import Cost, Pricing
from policies.language.declarations import Declaration
from policies.language.scope import Scope
from policies.language.typed import Typed
from policies.language.types import BOOL, Type


class Recheck:
    """Checks the trees of one bundle, the variables first and in their order. Each method raises BundleError.

    inputs: the facts that they may read.
    """

    def __init__(self, inputs: Mapping[str, Declaration]) -> None:
        self._inputs = inputs
        self._variables: dict[str, tuple[int, Type]] = {}
        self._costs: list[Cost] = []
        self._steps = 0

    def variable(self, data: Any) -> Typed:
        """A variable; those checked before are in its scope."""
        where = f"variable {len(self._costs)}"
        tree = self._checked(data, where, None)
        self._variables[variable_name(len(self._costs))] = (len(self._costs), tree.type)
        self._costs.append(self._priced(tree, where))
        return tree

    def condition(self, data: Any, where: str, *, decides: bool = False) -> Typed:
        """A rule's condition, or an invariant's, which may read `decision.…` (`decides`)."""
        tree = self._checked(data, where, BOOL, decides=decides)
        self._priced(tree, where)
        return tree

    def _checked(self, data: Any, where: str, expected: Type | None, *, decides: bool = False) -> Typed:
        """The tree that this device's checker makes, which must be the one that came: each type, each overload."""
        inputs = {**self._inputs, **DECIDED} if decides else self._inputs
        rebuilding = Rebuilding(inputs, len(self._variables))
        node = rebuilding.node(data)
        tree, faults = check(node, Scope(inputs, rebuilding.constants, self._variables), expected)
        if faults:
            raise BundleError(Refusal.TREE, f"{where}: {faults[0].message}")
        if canonical_bytes(encode(tree)) != canonical_bytes(data):
            raise BundleError(Refusal.TREE_DIFFERS, f"{where}: the types or overloads are not those found here")
        return tree

    def _priced(self, tree: Typed, where: str) -> Cost:
        cost = Pricing(self._costs).cost(tree)
        self._steps += cost.steps
        if cost.over_budget or self._steps > MAX_TOTAL_STEPS:
            raise BundleError(Refusal.TOO_COSTLY, f"{where}: this could take {self._steps} steps in all")
        return cost
