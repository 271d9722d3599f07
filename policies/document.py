"""The parts of a RoutingPolicy document, as read and before any expression is checked. Frozen data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from policies.decision import Timeouts
from policies.facts import CONTEXT, PHASES, FactValue
from policies.language.values import Duration
from policies.modes import Mode
from policies.problems import Problem
from policies.source import Scalar
from policies.terms import NO_TERMS, Terms

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
class Context:
    """What the expressions may read. ref: the table of facts. phase: facts of later phases are not known yet."""

    ref: str = CONTEXT
    phase: str = PHASES[0]


@dataclass(frozen=True, slots=True)
class Param:
    """A named constant. type: bool, int, double, string, duration, list(string), or the name of an enum fact."""

    name: str
    type: str
    value: bool | int | float | str | Duration | tuple[str, ...]
    line: int = field(default=1, compare=False)
    column: int = field(default=1, compare=False)


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
    terms: Terms = NO_TERMS

    @property
    def steps(self) -> tuple[Mode, ...]:
        """The mode and its fallbacks, in the order they are tried."""
        return (self.mode, *self.fallback)


@dataclass(frozen=True, slots=True)
class Rollout:
    """The share of keys that a rule is for, and always the same ones.

    percent: 0 to 100, in steps of 0.00001. by: the string fact that is the key; an absent or empty key is in no bucket.
    salt: keys are dealt anew for each one.
    """

    percent: float
    by: str
    salt: str

    def __str__(self) -> str:
        return f"bucket({self.by}, {json.dumps(self.salt)}) < {self.percent!r}"


@dataclass(frozen=True, slots=True)
class Rule:
    """When this holds, for this share of keys, decide that."""

    id: str
    when: Expression
    outcome: Outcome
    line: int
    column: int = 1
    rollout: Rollout | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One test of the document: the typical world changed by `given` (None: absent) should lead to `expect`.

    expect: any of "rule", "mode", "fallback" (tuple of modes), "reason", and of the names of Timeouts and Terms.
    """

    name: str
    given: Mapping[str, FactValue | None]
    expect: Mapping[str, Any]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """A whole document. `data` is the plain data it was read from, for the canonical form.

    warnings: what reading it noticed, and did not refuse.
    """

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
    context: Context = Context()
    warnings: tuple[Problem, ...] = ()
