"""From a record as it came to one that every database can store. Pure; a node may send anything that decodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from control_plane.decisions.device import TERMS_MAX_CHARS
from control_plane.text import clip
from edgewise.wire.frames import Scalar, TelemetryRecord

NAME_MAX_CHARS = 64
VALUE_MAX_CHARS = 256
LONGER = {"terms": TERMS_MAX_CHARS}
"""Texts that are worth nothing when they are cut, and how long each may be."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A record with its number, ready to be stored."""

    seq: int
    at: datetime
    kind: str
    values: dict[str, Scalar]


def sample_of(seq: int, record: TelemetryRecord, received: datetime) -> Sample:
    """`received` stands in for a time that no calendar knows."""
    return Sample(seq, _moment(record.at_s, received), clip(record.kind, NAME_MAX_CHARS), storable(record.values))


def storable(values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Texts of bounded length without NUL or lone surrogates, and finite numbers: JSON knows no NaN and no infinity."""
    return {
        clip(name, NAME_MAX_CHARS): clip(value, LONGER.get(name, VALUE_MAX_CHARS)) if isinstance(value, str) else value
        for name, value in values.items()
        if not isinstance(value, float) or math.isfinite(value)
    }


def _moment(at_s: float, received: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(at_s, UTC)
    except (ValueError, OverflowError, OSError):
        return received
