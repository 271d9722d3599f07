"""What a key looks like: making one, its digest at rest, its display prefix. Pure; no storage."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Callable
from typing import Literal, get_args

Role = Literal["operator", "app", "node"]
UserTier = Literal["free", "standard", "premium"]
ROLES: frozenset[str] = frozenset(get_args(Role))

KEY_PREFIX = "ek_"
SECRET_CHARS = 43
SHOWN_CHARS = 9
"""Characters that lists may show: enough to tell keys apart (6 of 43 random ones), useless for guessing the rest."""

_ALPHABET = string.ascii_letters + string.digits
_FORM = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9]{{{SECRET_CHARS}}}\Z")


def new_key(choose: Callable[[str], str] = secrets.choice) -> str:
    """A fresh key: `ek_` and 43 characters of base62, 256 bits from the system's random source."""
    return KEY_PREFIX + "".join(choose(_ALPHABET) for _ in range(SECRET_CHARS))


def is_key(text: str) -> bool:
    """Whether `text` has the form of a key."""
    return _FORM.match(text) is not None


def key_digest(key: str) -> str:
    """sha256 of the key, lower-case hex: what is stored and looked up."""
    return hashlib.sha256(key.encode()).hexdigest()


def shown_prefix(key: str) -> str:
    """The part of a key that may be displayed."""
    return key[:SHOWN_CHARS]
