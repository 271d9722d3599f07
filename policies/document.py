"""The parts of a RoutingPolicy document, as read and before any expression is checked. Frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.decision import Timeouts
from policies.facts import FactValue
from policies.modes import Mode
from policies.source import Scalar

API_VERSION: Final = "edgewise/v1"
KIND: Final = "RoutingPolicy"

MAX_RULES: Final = 1000
MAX_PARAMS: Final = 100
MAX_VARIABLES: Final = 100
MAX_INVARIANTS: Final = 50
MAX_TESTS: Final = 500


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression's text and where it stands."""

    text: str
    where: Scalar


@dataclass(frozen=True, slots=True)
class Param:
    """A named constant of the document. type: bool, int, double, string, or the name of an enum fact."""

    name: str
    type: str
    value: bool | int | float | str


@dataclass(frozen=True, slots=True)
class Variable:
    """A named expression; it may use the variables before it."""

    name: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must never hold, whatever a rule says. `negated`: it was written as `always`."""

    name: str
    expression: Expression
    negated: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule decides."""

    mode: Mode
    fallback: tuple[Mode, ...]
    timeouts: Timeouts
    reason: str

    @property
    def steps(self) -> tuple[Mode, ...]:
        """The mode and its fallbacks, in the order they are tried."""
        return (self.mode, *self.fallback)


@dataclass(frozen=True, slots=True)
class Rule:
    """When this holds, decide that."""

    id: str
    when: Expression
    outcome: Outcome
    line: int


@dataclass(frozen=True, slots=True)
class Case:
    """One test of the document: the typical world changed by `given` (None: absent) should lead to `expect`.

    expect: any of "rule", "mode", "fallback" (tuple of modes), "reason".
    """

    name: str
    given: Mapping[str, FactValue | None]
    expect: Mapping[str, Any]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """A whole document. `data` is the plain data it was read from, for the canonical form."""

    name: str
    labels: Mapping[str, str]
    params: tuple[Param, ...]
    variables: tuple[Variable, ...]
    invariants: tuple[Invariant, ...]
    rules: tuple[Rule, ...]
    default: Outcome
    on_error: Outcome
    tests: tuple[Case, ...]
    data: Mapping[str, Any]
