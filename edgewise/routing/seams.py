"""The seams of an answer, pass-through until their features come: redaction, restoring, filtering, billing.

Pacing is not here: it happens where the log is read, never where it is written.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Usage


def _same_state(state: GenerationState) -> GenerationState:
    return state


def _same_text(text: str) -> str:
    return text


def _no_bill(usage: Usage, waste_tokens: int) -> None:
    return None


class Seams(msgspec.Struct, frozen=True):
    """`redact` runs before a state leaves, `restore` and `filter` on text before it is appended, `bill` at the end."""

    redact: Callable[[GenerationState], GenerationState] = _same_state
    restore: Callable[[str], str] = _same_text
    filter: Callable[[str], str] = _same_text
    bill: Callable[[Usage, int], None] = _no_bill
