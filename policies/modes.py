"""The modes a decision may name, which of them a runner can carry out today, and which let text leave the device."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Mode(StrEnum):
    """How a request is answered. The values are the words of policy documents and of the wire."""

    EDGE = "edge"
    CLOUD = "cloud"
    PREFER_EDGE = "prefer-edge"
    PREFER_CLOUD = "prefer-cloud"
    RACE = "race"
    CASCADE = "cascade"
    UPGRADE = "upgrade"
    OPENER = "opener"
    DRAFT_VERIFY = "draft-verify"
    AUDIT = "audit"
    REFUSE = "refuse"


MODES: Final[tuple[Mode, ...]] = tuple(Mode)

#: The modes that the runner carries out now; a document that names another one is refused at save.
SUPPORTED_MODES: Final[frozenset[Mode]] = frozenset(
    {Mode.EDGE, Mode.CLOUD, Mode.PREFER_EDGE, Mode.PREFER_CLOUD, Mode.RACE, Mode.REFUSE}
)

_AT_HOME: Final = frozenset({Mode.EDGE, Mode.REFUSE})

_IMPLIED_FALLBACK: Final[dict[Mode, tuple[Mode, ...]]] = {
    Mode.PREFER_EDGE: (Mode.CLOUD,),
    Mode.PREFER_CLOUD: (Mode.EDGE,),
}


def leaves_device(mode: Mode) -> bool:
    """True when text of the request goes to another tier than the device under this mode."""
    return mode not in _AT_HOME


def implied_fallback(mode: Mode) -> tuple[Mode, ...]:
    """The modes tried next when the document names no fallback: the other tier for `prefer-…`, none otherwise."""
    return _IMPLIED_FALLBACK.get(mode, ())
