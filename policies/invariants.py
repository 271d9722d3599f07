"""What must never happen, whatever a rule says: invariants, fitted to each outcome, checked at every decision.

The privacy invariant holds in every policy, declared or not: personal text that starts on a device stays there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from policies.document import Outcome
from policies.facts import INPUTS
from policies.language import typed
from policies.language.checker import check
from policies.language.compile import Choose, compile_choice
from policies.language.declarations import Declaration
from policies.language.evaluate import Evaluator
from policies.language.parser import parse
from policies.language.scope import Scope
from policies.language.syntax import Span
from policies.language.typed import Const, Typed
from policies.language.types import BOOL, STRING, Enum
from policies.modes import MODES, Mode, leaves_device

DECIDED: Final[Mapping[str, Declaration]] = {
    "decision.mode": Declaration("decision.mode", Enum("decision.mode", tuple(map(str, MODES)), ordered=False)),
    "decision.leaves_device": Declaration("decision.leaves_device", BOOL),
}
"""What an invariant may read of the decision that it judges."""
PRIVACY: Final = "private-text-stays-on-its-device"
_PRIVACY_TEXT: Final = "request.origin == 'device' && request.sensitivity >= 'personal' && decision.leaves_device"


@dataclass(frozen=True, slots=True)
class CheckedInvariant:
    """`violated`: a typed tree over facts and `decision.…` that must not hold."""

    name: str
    violated: Typed


def privacy_invariant() -> CheckedInvariant:
    """The invariant that every policy has."""
    tree, faults = check(parse(_PRIVACY_TEXT)[0], Scope(inputs={**INPUTS, **DECIDED}), BOOL)
    assert not faults
    return CheckedInvariant(PRIVACY, tree)


class Guard:
    """The invariants of one policy, ready to judge outcomes."""

    def __init__(self, invariants: Sequence[CheckedInvariant], variables: Sequence[Typed]) -> None:
        self._invariants = invariants
        self._variables = variables
        self._by_mode: dict[Mode, tuple[tuple[str, Choose], ...]] = {}
        self._checks: dict[tuple[Mode, ...], tuple[Choose, int] | None] = {}

    def quick(self, outcome: Outcome) -> tuple[Choose, int] | None:
        """A function and the number it gives while no step of the outcome breaks an invariant; None: none can."""
        if outcome.steps not in self._checks:  # many outcomes share few sets of steps, and compiling takes long
            self._checks[outcome.steps] = self._check(outcome.steps)
        return self._checks[outcome.steps]

    def broken(self, step: Mode, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the invariants that `step` breaks for these facts. One that cannot be evaluated counts as broken."""
        return tuple(name for name, choose in self._compiled(step) if _holds(choose, facts))

    def _check(self, steps: Sequence[Mode]) -> tuple[Choose, int] | None:
        fitted = [tree for step in steps for _, tree in self._fitted(step)]
        distinct = list(dict.fromkeys(_without_spans(tree) for tree in fitted))
        return (compile_choice(distinct, self._variables), len(distinct)) if distinct else None

    def _fitted(self, step: Mode) -> list[tuple[str, Typed]]:
        """The invariants that `step` may break at all, with the decision's fields filled in."""
        trees = ((invariant.name, fit(invariant.violated, step)) for invariant in self._invariants)
        return [(name, tree) for name, tree in trees if not (isinstance(tree, Const) and tree.value is False)]

    def _compiled(self, step: Mode) -> tuple[tuple[str, Choose], ...]:
        if step not in self._by_mode:
            fitted = self._fitted(step)
            self._by_mode[step] = tuple((name, compile_choice([tree], self._variables)) for name, tree in fitted)
        return self._by_mode[step]


def _holds(choose: Choose, facts: Mapping[str, Any]) -> bool:
    try:
        return choose(facts) == 0
    except Exception:  # noqa: BLE001 - an invariant that cannot be shown to hold is broken, whatever the reason
        return True


def fit(node: Typed, mode: Mode) -> Typed:
    """`node` with `decision.…` replaced by what `mode` makes of it, and all that this settles folded away."""
    match node:
        case typed.Input() if node.source.name == "decision.mode":
            return Const(node.span, STRING, str(mode))
        case typed.Input() if node.source.name == "decision.leaves_device":
            return Const(node.span, BOOL, leaves_device(mode))
        case typed.Const():
            return node
        case _:
            return _fold(typed.rebuild(node, lambda child: fit(child, mode)))


def _fold(node: Typed) -> Typed:
    if isinstance(node, typed.Logic):
        return _fold_logic(node)
    if isinstance(node, typed.Not | typed.Compare | typed.Apply) and all(map(_is_closed, typed.children(node))):
        return _settled(node)
    return node


def _fold_logic(node: typed.Logic) -> Typed:
    """CEL lets one settling operand decide, even beside errors; operands that settle nothing drop out."""
    settling = not node.every
    if any(isinstance(operand, Const) and operand.value is settling for operand in node.operands):
        return Const(node.span, BOOL, settling)
    open_ = tuple(operand for operand in node.operands if not isinstance(operand, Const))
    if not open_:
        return Const(node.span, BOOL, node.every)
    return open_[0] if len(open_) == 1 else replace(node, operands=open_)


def _is_closed(node: Typed) -> bool:
    return isinstance(node, Const) or (isinstance(node, typed.MakeList) and all(map(_is_closed, node.items)))


def _settled(node: Typed) -> Typed:
    try:
        value = Evaluator({}).value(node)
    except ArithmeticError:
        return node
    return node if isinstance(value, list | dict) else Const(node.span, node.type, value)


_NOWHERE: Final = Span(0, 0)


def _without_spans(node: Typed) -> Typed:
    """Equal trees from different places become equal objects."""
    return replace(typed.rebuild(node, _without_spans), span=_NOWHERE)
