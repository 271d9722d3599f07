"""What the parts of the forge process say to each other: a claim, how far its body is, and how the body ended."""

from __future__ import annotations

from typing import Any

import msgspec

ERROR_MAX_CHARS = 500
MESSAGE_MAX_CHARS = 200


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to work on a job under `epoch`, as the control plane gave it. Times are seconds."""

    id: str
    kind: str
    payload: dict[str, Any]
    epoch: int
    attempt: int
    max_attempts: int
    lease_s: float
    time_limit_s: float


class Told(msgspec.Struct, frozen=True):
    """How far a body is: 0..1 of everything, and a few words."""

    fraction: float = 0.0
    message: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a body ended: with a result, or with an error; `retry` says whether another attempt may do better."""

    result: dict[str, Any] | None = None
    error: str = ""
    retry: bool = True

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        return not self.error


def failed(error: str, *, retry: bool) -> Outcome:
    """The outcome of a body that broke."""
    return Outcome(error=error[:ERROR_MAX_CHARS], retry=retry)


GONE = failed("the forge process ended while it worked on the job", retry=True)
"""What became of a claim that an earlier process left without an outcome."""
