"""Reading a few gauges out of Prometheus text (exposition format 0.0.4) of another process, which may be anything."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping

_SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:[ \t]*\{(?:[^\"}]|\"(?:[^\"\\]|\\.)*\")*\})?[ \t]+(?P<value>[^ \t]+)"
    r"(?:[ \t]+-?\d+)?[ \t]*"
)
LINE_MAX_CHARS = 65_536
SAMPLES_MAX = 4096
"""More are not read: this runs on the event loop, and nobody has so many engines behind one address."""


def read_gauges(text: str, names: Collection[str]) -> Mapping[str, list[float]]:
    """The values of each of `names` that occur, in order, whatever their labels; what is no number of 0 or more is
    left out, and all behind the first SAMPLES_MAX. Never raises."""
    found: dict[str, list[float]] = {}
    left = SAMPLES_MAX
    wanted = tuple(name for name in names if name)
    for line in text.split("\n"):
        if not line.startswith(wanted) or len(line) > LINE_MAX_CHARS:
            continue
        sample = _SAMPLE.fullmatch(line.rstrip("\r"))
        if sample is None or sample["name"] not in names:
            continue
        if not left:
            break
        left -= 1
        value = _number(sample["value"])
        if value is not None:
            found.setdefault(sample["name"], []).append(value)
    return found


def _number(text: str) -> float | None:
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
