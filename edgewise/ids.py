"""Ids that sort by time and are never reused: 48 bits of milliseconds and 80 random bits in Crockford base32."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import count

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
ID_CHARS = 26
_RANDOM_BYTES = 10


def new_id(now: Callable[[], float] = time.time, random_bytes: Callable[[int], bytes] = os.urandom) -> str:
    """A fresh 26-character id, lower case; ids made in different milliseconds sort by time (layout of ULID)."""
    drawn = random_bytes(_RANDOM_BYTES)
    # Three numbers that each fit into a machine word: 50 bits of time, and twice 40 random bits.
    ms = int(now() * 1000)
    high, low = int.from_bytes(drawn[:5], "big"), int.from_bytes(drawn[5:], "big")
    pairs = _PAIRS
    return (
        f"{pairs[ms >> 40]}{pairs[ms >> 30 & 1023]}{pairs[ms >> 20 & 1023]}{pairs[ms >> 10 & 1023]}{pairs[ms & 1023]}"
        f"{pairs[high >> 30]}{pairs[high >> 20 & 1023]}{pairs[high >> 10 & 1023]}{pairs[high & 1023]}"
        f"{pairs[low >> 30]}{pairs[low >> 20 & 1023]}{pairs[low >> 10 & 1023]}{pairs[low & 1023]}"
    )


def numbered_ids(prefix: str) -> Callable[[], str]:
    """Makes ids `<prefix>-<n>`: as unique as `prefix`, and far cheaper than fresh ones where nobody sorts them."""
    numbers = count(1)
    return lambda: f"{prefix}-{next(numbers)}"


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
