"""Ids that sort by time and are never reused: 48 bits of milliseconds and 80 random bits in Crockford base32."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
ID_CHARS = 26


def new_id(now: Callable[[], float] = time.time, random_bits: Callable[[int], int] = secrets.randbits) -> str:
    """A fresh 26-character id, lower case; ids made in different milliseconds sort by time (layout of ULID)."""
    number = (int(now() * 1000) << 80) | random_bits(80)
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


def id_time_s(text: str) -> float:
    """When an id was made, as Unix time. Raises ValueError for text that has not the form of an id."""
    if not is_id(text):
        raise ValueError("this is no id")
    number = 0
    for char in text:
        number = number << 5 | _ALPHABET.index(char)
    return (number >> 80) / 1000


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id."""
    return len(text) == ID_CHARS and all(char in _ALPHABET for char in text)
