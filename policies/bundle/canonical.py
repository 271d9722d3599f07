"""Canonical JSON as bytes, and the reading of bytes whose data may be anything. What they mean is not known here."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from policies.bundle.errors import BundleError, Refusal
from policies.decide import canonical_json

_MAX_DIGITS: Final = 20
"""A sign and the digits of 64 bits; Python needs quadratic time for the digits of a huge int."""


def canonical_bytes(data: Any) -> bytes:
    """The one spelling of JSON data. Raises BundleError for what JSON cannot hold, such as NaN."""
    try:
        return canonical_json(data).encode("ascii")
    except (TypeError, ValueError) as error:
        raise BundleError(Refusal.NOT_CANONICAL, f"this has no canonical form: {error}") from None


def read_canonical(payload: bytes) -> Any:
    """The data of canonical JSON; any other spelling of the same data is refused. Raises BundleError."""
    try:
        data = json.loads(payload.decode("ascii"), parse_int=_whole, parse_constant=_no_number)
        again = canonical_bytes(data)
    except BundleError:
        raise
    except (ValueError, RecursionError) as error:
        raise BundleError(Refusal.NOT_CANONICAL, f"the payload is no JSON: {type(error).__name__}") from None
    if again != payload:
        raise BundleError(Refusal.NOT_CANONICAL, "the payload is not written in the canonical form")
    return data


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise BundleError(Refusal.NOT_CANONICAL, "a whole number is beyond 64 bits")
    return int(digits)


def _no_number(word: str) -> NoReturn:
    raise BundleError(Refusal.NOT_CANONICAL, f"{word} is no number of JSON")
