"""Sticky buckets for rollouts, the same on every tier and for ever."""

from __future__ import annotations

import hashlib
from typing import Final

from policies.language.functions import Overload
from policies.language.library.bounds import reading
from policies.language.types import DOUBLE, STRING

PLACES: Final = 10_000_000
STEPS_PER_PERCENT: Final = PLACES // 100


def place(purpose: str, salt: str, key: str) -> int:
    """The place of `key`, 0 to 9,999,999, the same on every tier and for ever; each purpose deals the keys anew.

    The first 64 bits of SHA-256 over length-prefixed parts, scaled by integers. Whoever calls says what an empty key
    means.
    """
    parts = "".join(f"{len(part)}:{part}" for part in (purpose, salt, key))
    digest = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") * PLACES) >> 64


def bucket(key: str, salt: str) -> float:
    """The place of `key` on a scale of 0 to 100 percent, in steps of 0.00001. An empty key is in no bucket: 100.0."""
    return place("edgewise/bucket/v1", salt, key) / STEPS_PER_PERCENT if key else 100.0


OVERLOADS: Final = (Overload("bucket", "bucket", (STRING, STRING), DOUBLE, bucket, work=reading),)
