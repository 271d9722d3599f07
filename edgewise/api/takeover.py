"""The loop that finds streams whose runner died, and takes them up: the answer goes on, and no reader waits for ever.

The log's list of expired leases is only a hint; the claim decides who goes on when several processes look at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from edgewise.api.service import AnswerService
from edgewise.wire.errors import EdgewiseError, FencedError

logger = logging.getLogger(__name__)
EVERY_S = 1.0
GRACE_S = 2.0

Ask = Callable[[str, int], Awaitable[None]]
"""Has a stream, orphaned in this epoch, taken up by whoever is best placed. May be slow, and may raise."""


class Takeover:
    """Sweeps until cancelled. `every_s` bounds how long an orphaned stream stands still after its lease ran out.

    With `ask`, others are asked first, and what nobody has claimed `grace_s` later is taken up here all the same: who
    is asked may be away. Without it (a device, or a gateway without jobs) it is taken up here at once.
    """

    def __init__(
        self,
        service: AnswerService,
        *,
        ask: Ask | None = None,
        grace_s: float = GRACE_S,
        every_s: float = EVERY_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._ask = ask
        self._grace_s = grace_s
        self._every_s = every_s
        self._sleep = sleep
        self._clock = clock
        self._asked_at: dict[str, float] = {}
        self._asking: set[asyncio.Task[None]] = set()

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
        orphans = await self._service.log.expired()
        self._asked_at = {sid: at for sid, at in self._asked_at.items() if sid in orphans}
        return [sid for sid in orphans if self._is_ours(sid) and await self._resumed(sid)]

    def _is_ours(self, sid: str) -> bool:
        """Whether nobody else is asked for it, or has had the time."""
        if self._ask is None:
            return True
        if sid in self._asked_at:
            return self._clock() - self._asked_at[sid] >= self._grace_s
        self._asked_at[sid] = self._clock()
        task = asyncio.create_task(self._ask_others(self._ask, sid), name=f"ask-{sid}")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return False

    async def _ask_others(self, ask: Ask, sid: str) -> None:
        try:
            await ask(sid, (await self._service.log.head(sid)).epoch)
        except EdgewiseError as error:
            logger.warning("nobody could be asked to take up a stream: %s", error, extra={"stream": sid})
        except Exception as error:  # noqa: BLE001 (whatever it was, the grace ends and the stream is taken up here)
            logger.error("nobody could be asked to take up a stream: %s", type(error).__name__, extra={"stream": sid})

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
