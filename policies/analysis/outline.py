"""One policy as formulas: when each rule decides, when it fails, and which steps break which invariant then."""

from __future__ import annotations

from collections.abc import Sequence

from policies.analysis.formulas import FALSE
from policies.analysis.reading import Reader, Truth
from policies.analysis.solver import Budget
from policies.analysis.space import Space
from policies.decide import Policy
from policies.decision import DEFAULT_RULE_ID
from policies.document import Outcome
from policies.facts import INPUTS
from policies.invariants import fit
from policies.language.compile import inputs_of
from policies.language.typed import Typed
from policies.modes import Mode


class Outline:
    """The formulas of one policy in a settled space. Places count rules from 0; the default stands behind the last.

    rules: one condition each. names: the ids of the rules, and of the default.
    at_home: the formula "a device is there", which the guard asks before it falls back to edge.
    inputs: the names of the facts that are judged before the first rule: a bad one leads to onError.
    """

    def __init__(self, policy: Policy, space: Space) -> None:
        self.policy = policy
        self.space = space
        self.names = (*(rule.id for rule in policy.document.rules), DEFAULT_RULE_ID)
        self.outcomes = (*(rule.outcome for rule in policy.document.rules), policy.document.default)
        self.inputs = tuple(each.name for each in inputs_of(policy.trees.rules, policy.trees.variables))
        self._reader = Reader(space, policy.trees.variables)
        self.rules = tuple(map(self._reader.truth, policy.trees.rules))
        used: list[Outcome] = [*self.outcomes, policy.document.on_error]
        modes = {step for outcome in used for step in outcome.steps} | {Mode.EDGE}
        self._broken = {
            (invariant.name, mode): self._holds_or_fails(fit(invariant.violated, mode))
            for mode in sorted(modes)
            for invariant in policy.trees.invariants
        }

        device = space.input(INPUTS["device.present"])
        self.at_home = space.where(device, bool)[0]

    def _holds_or_fails(self, violated: Typed) -> int:
        """An invariant that cannot be evaluated counts as broken, as in `invariants.Guard`."""
        return self.space.formulas.negated(self._reader.truth(violated).no)

    def truth(self, node: Typed) -> Truth:
        """The formulas of a part of a rule."""
        return self._reader.truth(node)

    def passed(self, place: int) -> list[int]:
        """No rule before `place` held or failed."""
        return [rule.no for rule in self.rules[:place]]

    def decides(self, place: int) -> list[int]:
        """The rule at `place` decides, or the default."""
        own = [self.rules[place].yes] if place < len(self.rules) else []
        return [*own, *self.passed(place)]

    def failure(self, place: int) -> int:
        """The rule at `place` has no value."""
        if place == len(self.rules):
            return FALSE
        negated = self.space.formulas.negated
        return self.space.formulas.every(map(negated, self.rules[place]))

    def breaks(self, invariant: str, step: Mode) -> int:
        """`step` would break this invariant."""
        return self._broken[invariant, step]

    def broken(self, step: Mode) -> int:
        """`step` would break some invariant."""
        return self.space.formulas.some(self.breaks(each.name, step) for each in self.policy.trees.invariants)


def outlines(policies: Sequence[Policy], budget: Budget) -> tuple[Space, tuple[Outline, ...]]:
    """The policies in one space."""
    space = Space(budget)
    for policy in policies:
        trees = policy.trees
        every = [*trees.variables, *trees.rules, *(invariant.violated for invariant in trees.invariants)]
        for source in inputs_of(every, trees.variables):
            if not source.name.startswith("decision."):
                space.input(source)
        Outline(policy, space)
    space.settle()
    return space, tuple(Outline(policy, space) for policy in policies)
