"""The parts of a PolicyRollout document, as read: which version, by which stages, watched by which gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from policies.problems import Problem
from policies.rollout.gates import Gate

KIND: Final = "PolicyRollout"

MAX_STAGES: Final = 20
MAX_APPROVALS: Final = 20
MAX_WINDOWS: Final = 20
MAX_STAGE_S: Final = 90 * 86_400.0
MAX_AT_LEAST: Final = 1_000_000_000
DEFAULT_ALPHA: Final = 0.01
DEFAULT_KEY: Final = "device.id"


class StageMode(StrEnum):
    """shadow: the candidate is only compared with the old policy. enforce: it decides for a share of the keys."""

    SHADOW = "shadow"
    ENFORCE = "enforce"


class OnBreach(StrEnum):
    """What a breached gate does: back to the old policy, or no further until a person has looked."""

    ROLLBACK = "rollback"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Stage:
    """percent: the share of keys. for_s: how long at least; None in the last stage, which is then over at once."""

    mode: StageMode
    percent: float
    for_s: float | None = None

    def __str__(self) -> str:
        return f"{self.mode} for {self.percent:.10g} %"


@dataclass(frozen=True, slots=True)
class Approvals:
    """count: how many people must agree. self_approve: whether the author may be one of them."""

    count: int = 0
    self_approve: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """When stages may begin: days of the week (0 is Monday), seconds of the day, both in UTC; `until_s` is outside."""

    days: tuple[int, ...]
    from_s: int
    until_s: int


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """A whole document.

    policy, version: the candidate; the old policy is whatever is in force when the rollout begins.
    start_at_s: seconds since 1970 (UTC) before which nothing begins; None: as soon as it is approved.
    by: the string fact that is the key; salt: keys are dealt anew for each one.
    alpha: the probability, over the whole rollout, that a gate is called breached though no limit is exceeded.
    at_least: how many measures each gate needs before a stage may end.
    data: the plain data it was read from. digest: SHA-256 of their canonical JSON.
    """

    name: str
    labels: Mapping[str, str]
    policy: str
    version: int
    stages: tuple[Stage, ...]
    gates: tuple[Gate, ...]
    approvals: Approvals
    start_at_s: float | None
    on_breach: OnBreach
    windows: tuple[Window, ...]
    by: str
    salt: str
    alpha: float
    at_least: int
    data: Mapping[str, Any]
    digest: str
    warnings: tuple[Problem, ...] = ()

    def due(self, stage: Stage) -> tuple[Gate, ...]:
        """The gates that can be measured in a stage, and therefore must be before it ends.

        Where everybody has the candidate there is nothing of the old policy to compare it with.
        """
        enforced = stage.mode is StageMode.ENFORCE
        able = (gate for gate in self.gates if (gate.in_enforce if enforced else gate.in_shadow))
        return tuple(gate for gate in able if not (enforced and gate.compares and stage.percent >= 100.0))
