"""How sharp a policy's own tests are: the policy is changed in many small ways, and its tests should notice each.

Mutation score = changes that some test notices / changes tried. The changes themselves are in `mutations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Final

from policies.decide import Policy
from policies.mutations import Mutation, mutations
from policies.positions import Positions
from policies.source import Mapping, read_source
from policies.trace import place_of

DEFAULT_LIMIT: Final = 300


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change that was tried. kind: see `mutations.Mutation`; owner: the rule, variable, or "default" that changed."""

    kind: str
    owner: str
    change: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.change} ({self.owner})"


@dataclass(frozen=True, slots=True)
class MutationReport:
    """possible: changes there are; tried: a sample of them, or all; survivors: those that no test noticed."""

    possible: int
    tried: int
    survivors: tuple[Mutant, ...]

    @property
    def killed(self) -> int:
        """Changes that a test noticed."""
        return self.tried - len(self.survivors)

    @property
    def percent(self) -> float:
        """The mutation score, 0 to 100; 100 where there was nothing to change."""
        return 100.0 * self.killed / self.tried if self.tried else 100.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        told = {"percent": round(self.percent, 1), "possible": self.possible, "tried": self.tried}
        return {**told, "killed": self.killed, "survivors": [asdict(mutant) for mutant in self.survivors]}


def mutate(
    policy: Policy,
    *,
    limit: int = DEFAULT_LIMIT,
    seed: int = 0,
    watch: Callable[[Sequence[Mutation]], Iterable[Mutation]] = iter,
) -> MutationReport:
    """Try at most `limit` changes, the same ones for the same seed. Tests that fail anyway notice nothing.

    watch: hands the changes on one by one, and so sees how far it is.

    Takes about the time of loading the policy for each change.
    """
    possible = list(mutations(policy.document, policy.trees))
    tried = _sample(possible, limit, seed)
    sound = {outcome.name for outcome in policy.iter_tests() if outcome.passed}
    lines = _Lines(policy)
    survivors = tuple(lines.mutant(each) for each in watch(tried) if not _is_noticed(policy, each, sound))
    return MutationReport(len(possible), len(tried), survivors)


def _sample(possible: list[Mutation], limit: int, seed: int) -> list[Mutation]:
    if len(possible) <= limit:
        return possible
    chosen = Random(seed).sample(range(len(possible)), limit)
    return [possible[at] for at in sorted(chosen)]


def _is_noticed(policy: Policy, mutation: Mutation, sound: set[str]) -> bool:
    document, trees = mutation.make()
    changed = Policy(document, trees, policy.source)
    return any(not outcome.passed and outcome.name in sound for outcome in changed.iter_tests())


class _Lines:
    """Where in its document a policy was changed."""

    def __init__(self, policy: Policy) -> None:
        self._positions = Positions.of(policy.source)
        self._owners = {rule.id: (rule.line, rule.column) for rule in policy.document.rules}
        self._owners["default"] = _place_of_default(policy.source)

    def mutant(self, mutation: Mutation) -> Mutant:
        """The change without the means to make it."""
        if mutation.where is None or mutation.part is None:
            place = self._owners[mutation.owner]
        else:
            place = place_of(mutation.where, mutation.part, self._positions)
        return Mutant(mutation.kind, mutation.owner, mutation.change, *place)


def _place_of_default(source: str) -> tuple[int, int]:
    root = read_source(source)
    spec = root.get("spec") if isinstance(root, Mapping) else None
    default = spec.get("default") if isinstance(spec, Mapping) else None
    return (default.line, default.column) if default is not None else (1, 1)
