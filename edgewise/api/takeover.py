"""The loop that finds streams whose runner died, and takes them up: the answer goes on, and no reader waits for ever.

The log's list of expired leases is only a hint; the claim decides who goes on when several processes look at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from edgewise.api.service import AnswerService
from edgewise.wire.errors import EdgewiseError, FencedError

logger = logging.getLogger(__name__)
EVERY_S = 1.0


class Takeover:
    """Sweeps until cancelled. `every_s` bounds how long an orphaned stream stands still after its lease ran out."""

    def __init__(
        self,
        service: AnswerService,
        *,
        every_s: float = EVERY_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._service = service
        self._every_s = every_s
        self._sleep = sleep

    async def run(self) -> None:
        """Sweep at once, and again and again; a log that is away is waited for."""
        while True:
            try:
                await self.sweep()
            except EdgewiseError as error:
                logger.warning("orphaned streams cannot be looked for: %s", error)
            await self._sleep(self._every_s)

    async def sweep(self) -> list[str]:
        """Take up what is orphaned now; returns the stream ids. One that cannot be resumed never stops the others."""
        return [sid for sid in await self._service.log.expired() if await self._resumed(sid)]

    async def _resumed(self, sid: str) -> bool:
        try:
            resumed = await self._service.resume(sid)
        except FencedError:
            return False
        except EdgewiseError as error:
            logger.warning("an orphaned stream was not resumed: %s", error, extra={"stream": sid})
            return False
        except Exception as error:  # noqa: BLE001 - a fault in one stream must not keep the others orphaned
            logger.error("an orphaned stream was not resumed: %s", type(error).__name__, extra={"stream": sid})
            return False
        if resumed:
            logger.info("an orphaned stream goes on", extra={"stream": sid})
        return resumed
