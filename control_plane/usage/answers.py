"""What the answering side needs of a meter, and the one that meters nothing."""

from __future__ import annotations

from typing import Protocol

from edgewise.api.host import Caller
from edgewise.routing.runner import Outcome
from edgewise.wire.errors import RateState


class AnswerMeter(Protocol):
    """Told of every answer from before its stream opens until after its end. Only `reserve` may wait."""

    async def reserve(self, caller: Caller, sid: str, prompt_tokens: int, max_tokens: int) -> None:
        """Raises RateLimitedError and its kinds, LimitsUnavailableError; then nothing was taken."""
        ...

    def admitted(self, sid: str, caller: Caller, model: str) -> None: ...

    def release(self, sid: str) -> None: ...

    def finished(self, sid: str, outcome: Outcome) -> None: ...

    def rate(self, sid: str) -> RateState | None: ...


class NoMeter:
    """No limits, no ledger."""

    async def reserve(self, caller: Caller, sid: str, prompt_tokens: int, max_tokens: int) -> None:
        """Everything is let in."""

    def admitted(self, sid: str, caller: Caller, model: str) -> None:
        """Nobody asks."""

    def release(self, sid: str) -> None:
        """Nothing was taken."""

    def finished(self, sid: str, outcome: Outcome) -> None:
        """Nobody counts."""

    def rate(self, sid: str) -> RateState | None:
        """Nothing is limited."""
        return None
