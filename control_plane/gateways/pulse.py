"""The pulse of relays: while attempts are open between two gateways, each tells the other four times a second which."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from control_plane.gateways.bus import Bus
from control_plane.gateways.messages import RelayBeat
from control_plane.gateways.relay import RelayDesk
from control_plane.gateways.serving import RelayServer

PULSE_S: Final = 0.25


class RelayPulse:
    """`run` is its task; with no attempt open, it costs one look at two empty dictionaries."""

    def __init__(
        self,
        own_id: str,
        bus: Bus,
        desk: RelayDesk,
        server: RelayServer,
        *,
        every_s: float = PULSE_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._own_id = own_id
        self._bus = bus
        self._desk = desk
        self._server = server
        self._every_s = every_s
        self._sleep = sleep

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self._sleep(self._every_s)
            self.beat()

    def beat(self) -> None:
        """Tell every gateway with which an attempt is open, and count who said nothing since the last time."""
        for peer in self._desk.peers() | self._server.peers():
            asked, served = self._desk.asked(peer), self._server.served(peer)
            self._bus.post(peer, RelayBeat(sender=self._own_id, asked=asked, served=served))
        self._desk.count_silence()
        self._server.count_silence()
