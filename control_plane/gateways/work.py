"""What a gateway does when a process that is none asks for it: go on with an orphaned stream, warm idle nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from control_plane.gateways.messages import Resumed
from edgewise.wire.errors import FencedError, ShuttingDownError, StreamNotFoundError

Warm = Callable[[], Awaitable[int]]
"""Warms the caches of nodes that are idle; returns how many prompts were warmed."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """`take_up(sid)` is AnswerService.resume, `running()` counts the answers that are made here now."""

    take_up: Callable[[str], Awaitable[bool]]
    running: Callable[[], int]
    on_warm: Warm | None = None

    async def resume(self, sid: str) -> Resumed:
        """Claim a stream and go on with it: `claimed`, or `made` (somebody is at it, or it has just ended), `ended`
        (nobody knows it any more), `refused` (this gateway is stopping). Raises LogUnavailableError."""
        try:
            return "claimed" if await self.take_up(sid) else "made"
        except FencedError:
            return "made"
        except StreamNotFoundError:
            return "ended"
        except ShuttingDownError:
            return "refused"

    async def warm(self) -> int:
        """How many prompts were warmed; none where nothing warms."""
        return await self.on_warm() if self.on_warm else 0
