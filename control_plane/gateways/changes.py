"""Changes: what one gateway writes to SQL, the others take into memory within a second. Also the change for one alone.

A message says that a topic changed; a counter per topic, seen with every beat, says so when the message was lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Literal, Protocol

from edgewise.wire.errors import EdgewiseError, LogUnavailableError

log = logging.getLogger(__name__)

Topic = Literal["keys", "policies", "models", "limits", "nodes"]
Reload = Callable[[], Awaitable[None]]
Bump = Callable[[str], Awaitable[int]]
"""Counts a change of a topic and tells the others; returns the topic's new version. Raises LogUnavailableError."""
RELOAD_EVERY_S = 30.0
UNHEARD_EVERY_S = 3.0
RETRY_S = 0.5


class Changes(Protocol):
    """What a service needs in order to share its changes."""

    def on(self, topic: Topic, reload: Reload) -> None:
        """Call `reload` whenever another gateway may have changed the topic; it must be cheap when nothing changed."""
        ...

    def tell(self, topic: Topic) -> None:
        """This gateway changed the topic, and committed it. Must not wait."""
        ...


class LocalChanges:
    """One gateway alone: nobody to tell, nothing to hear."""

    def on(self, topic: Topic, reload: Reload) -> None:
        """There is no other gateway that could change anything."""

    def tell(self, topic: Topic) -> None:
        """There is nobody to tell."""


class SharedChanges:
    """Changes among the gateways of one token log. `run` is its task; presence feeds it with versions it has seen.

    While the token log is away (`heard(False)`), every topic is read again every few seconds.
    """

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float],
        reload_every_s: float = RELOAD_EVERY_S,
        unheard_every_s: float = UNHEARD_EVERY_S,
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._every_s = {True: reload_every_s, False: unheard_every_s}
        self._bump: Bump | None = None
        self._reloads: dict[str, list[Reload]] = {}
        self._known: dict[str, int] = {}
        self._untold: dict[str, int] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._hearing = True
        self._loaded_at = clock()

    def on(self, topic: Topic, reload: Reload) -> None:
        self._reloads.setdefault(topic, []).append(reload)

    def tell(self, topic: Topic) -> None:
        self._untold[topic] = self._untold.get(topic, 0) + 1
        self._wake.set()

    def connect(self, bump: Bump) -> None:
        """From now on, changes are told with `bump`."""
        self._bump = bump
        self._wake.set()

    def heard(self, hearing: bool) -> None:
        """Whether messages and counters arrive; when they do again, everything is read once."""
        if hearing and not self._hearing:
            self._dirty.update(self._reloads)
        self._hearing = hearing
        self._wake.set()

    def on_version(self, topic: str, version: int) -> None:
        """Somebody saw this version of a topic. The first one seen is where we start; a smaller one means that the
        server lost its memory."""
        known = self._known.get(topic)
        self._known[topic] = version
        if known is not None and known != version:
            self._dirty.add(topic)
            self._wake.set()

    def on_versions(self, versions: Mapping[str, int]) -> None:
        """All the counters, as a beat reads them; a topic without one was never changed."""
        for topic in self._reloads:
            self.on_version(topic, versions.get(topic, 0))

    async def run(self) -> None:
        """Tell and reload until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._every_s[self._hearing])
            self._wake.clear()
            if self._clock() - self._loaded_at >= self._every_s[self._hearing]:
                self._loaded_at = self._clock()
                self._dirty.update(self._reloads)
            if not await self._tell_all() or not await self._reload_all():
                await self._sleep(RETRY_S)
                self._wake.set()

    async def _tell_all(self) -> bool:
        for topic in tuple(self._untold):
            if self._bump is None:
                return True
            count = self._untold.pop(topic)
            try:
                version = await self._bump(topic)
            except LogUnavailableError as error:
                log.warning("a change of %s is not told to other gateways yet: %s", topic, error)
                self._untold[topic] = self._untold.get(topic, 0) + count
                return False
            self._own(topic, version)
        return True

    def _own(self, topic: str, version: int) -> None:
        """Our own change needs no reload, unless somebody else's came in between."""
        if self._known.get(topic) == version - 1:
            self._known[topic] = version
        else:
            self.on_version(topic, version)

    async def _reload_all(self) -> bool:
        good = True
        for topic in sorted(self._dirty):
            self._dirty.discard(topic)
            for reload in self._reloads.get(topic, ()):
                good = await self._reloaded(topic, reload) and good
        return good

    async def _reloaded(self, topic: str, reload: Reload) -> bool:
        try:
            await reload()
        except EdgewiseError as error:
            log.warning("%s could not be read again: %s", topic, error)
        except Exception:
            log.exception("%s could not be read again", topic)
        else:
            return True
        self._dirty.add(topic)
        return False
