"""The limits that gates are written with, such as `<= 8%`: text to Gate. What a gate does is in gates.py."""

from __future__ import annotations

import re
from typing import Final

from policies.rollout.gates import Gate, QuantileGrowth, QuantileLimit, ShareLimit, ShareRise

_SHARES: Final = {
    "decisionChange": (True, False),
    "decisionErrors": (True, True),
    "replayUnknown": (True, False),
    "errors": (False, True),
}
"""Whether a share is measured in shadow, and when the candidate decides."""
_COMPARED: Final = ("decisionErrors", "errors")
_QUANTILES: Final = {
    f"p{percent}{name[0].upper()}{name[1:]}": (name, percent / 100)
    for name in ("firstToken", "total")
    for percent in (50, 90, 95, 99)
}

GATES: Final = (*_SHARES, *_QUANTILES)
_LIMIT: Final = re.compile(r"(<=|==) ?(\+?)([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(%|pp|ms|s|)")
MAX_GROWTH_PCT: Final = 1000.0
MAX_LIMIT_S: Final = 3600.0


def forms(name: str) -> str:
    """How the limit of a gate may be written, for people."""
    if name in _QUANTILES:
        return '"<= +5%" (against the old policy) or "<= 800ms"'
    risen = ' or "<= +0.5pp" (points more than the old policy)' if name in _COMPARED else ""
    return f'"<= 8%", "== 0"{risen}'


def read_gate(name: str, text: str) -> Gate | None:
    """The gate of one of GATES with this limit; None where the text is no limit that it can have."""
    found = _LIMIT.fullmatch(text)
    if found is None:
        return None
    sign, plus, number, unit = found.groups()
    if name in _QUANTILES:
        return _quantile(name, text, f"{sign}{plus}{unit}", float(number))
    return _share(name, text, f"{sign}{plus}{unit}", float(number))


def _share(name: str, text: str, form: str, number: float) -> Gate | None:
    in_shadow, in_enforce = _SHARES[name]
    if form == "<=%" and number < 100.0:
        return ShareLimit(name, text, number / 100, in_shadow, in_enforce)
    if form in ("==", "==%", "<=") and number == 0.0:
        return ShareLimit(name, text, 0.0, in_shadow, in_enforce)
    if form == "<=+pp" and name in _COMPARED and number < 100.0:
        return ShareRise(name, text, number / 100, in_shadow, in_enforce)
    return None


def _quantile(name: str, text: str, form: str, number: float) -> Gate | None:
    duration, quantile = _QUANTILES[name]
    if form == "<=+%" and number <= MAX_GROWTH_PCT:
        return QuantileGrowth(name, text, duration, quantile, number / 100)
    seconds = number / 1000 if form == "<=ms" else number if form == "<=s" else 0.0
    return QuantileLimit(name, text, duration, quantile, seconds) if 0.0 < seconds <= MAX_LIMIT_S else None
