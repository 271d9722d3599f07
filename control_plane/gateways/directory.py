"""GatewayDirectory: for processes that are no gateway (jobs): which gateways live, and asking one of them for work."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from control_plane.gateways.connecting import gateway_connections
from control_plane.gateways.messages import Answer, AnyMessage, GatewayPresence
from control_plane.gateways.questions import Asker
from control_plane.gateways.store import PresenceStore
from edgewise.ids import new_id
from edgewise.wire.errors import EdgewiseError, LogUnavailableError

log = logging.getLogger(__name__)

RESUME_WITHIN_S = 5.0
WARM_WITHIN_S = 60.0


class GatewayDirectory:
    """Asks the gateways of one token log. Opens nothing before the first call; use it on one event loop."""

    def __init__(self, url: str, *, resume_within_s: float = RESUME_WITHIN_S) -> None:
        self._url = url
        self._resume_within_s = resume_within_s
        self._own_id = new_id()
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._opened: tuple[PresenceStore, Asker] | None = None

    async def live(self) -> list[GatewayPresence]:
        """The gateways that are alive, the least busy first; those that are stopping last. Raises
        LogUnavailableError."""
        store, _ = await self._open()
        return sorted((await store.view()).gateways, key=lambda each: (each.draining, each.running, each.gateway_id))

    async def ask_to_resume(self, sid: str) -> bool:
        """Have a live gateway take up an orphaned stream, the least busy one first; True when one did, somebody is at
        it already, or the stream has ended. False when nobody could. Raises LogUnavailableError."""
        _, asker = await self._open()
        for gateway in await self.live():
            try:
                detail = await asker.resume(gateway.gateway_id, sid, self._resume_within_s)
            except LogUnavailableError:
                raise
            except EdgewiseError as error:
                log.warning("gateway %s does not take up a stream: %s", gateway.name, error, extra={"stream": sid})
                continue
            if detail.get("outcome") in ("claimed", "made", "ended"):
                return True
        return False

    async def ask_to_warm(self) -> int:
        """Have every live gateway warm its idle nodes; returns how many prompts were warmed. Raises
        LogUnavailableError."""
        _, asker = await self._open()
        asked = [asker.warm(gateway.gateway_id, WARM_WITHIN_S) for gateway in await self.live()]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return sum(int(answer.get("warmed", 0)) for answer in answers if isinstance(answer, dict))

    async def aclose(self) -> None:
        """Close the connections; the next call opens them again."""
        self._opened = None
        await self._stack.aclose()

    async def _open(self) -> tuple[PresenceStore, Asker]:
        async with self._opening:
            if self._opened is None:
                bus, store = await self._stack.enter_async_context(gateway_connections(self._url))
                asker = Asker(self._own_id, bus)

                def on_message(message: AnyMessage) -> None:
                    if isinstance(message, Answer):
                        asker.on_answer(message)

                await store.view()  # a server that is away is found out now, not by waiting for its messages
                await bus.listen(self._own_id, on_message, everybody=False)
                self._opened = store, asker
            return self._opened
