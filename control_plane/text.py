"""Text that every database can store. What is stored where, and how long it may be, is each feature's business."""

from __future__ import annotations

from functools import lru_cache


def clip(text: str, chars: int) -> str:
    """At most `chars` characters, without NUL (PostgreSQL refuses it) and without lone surrogates (no UTF-8)."""
    if len(text) <= chars and text.isascii() and "\0" not in text:
        return text
    return text[:chars].replace("\0", "").encode(errors="replace").decode()


clip_name = lru_cache(maxsize=4096)(clip)
"""The same for names that come again and again: keys, tenants, models, rules."""
