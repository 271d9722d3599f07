"""The serving end of a relay: runs attempts for other gateways on nodes that are connected here, and sends chunks back.

A chunk is sent when the one before it has left, so a line that is slow gets longer chunks and no queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from control_plane.gateways.bus import Bus
from control_plane.gateways.errors import GatewayMessageError
from control_plane.gateways.messages import RelayAsk, RelayBeat, RelayCancel, RelayChunk, RelayEnded
from control_plane.gateways.relay import SILENT_PULSES
from control_plane.nodes.tier import NodeTier
from edgewise.generation.state import GenerationState
from edgewise.observability.context import adopt
from edgewise.routing.tier import Chunk
from edgewise.wire.errors import EdgewiseError, LogUnavailableError, TierError, TierLostError

log = logging.getLogger(__name__)

SERVED_MAX: Final = 4096
_state_decoder = msgspec.msgpack.Decoder(GenerationState)


@dataclass
class _Served:
    """An attempt for another gateway: its task, how many messages were sent, how long the asker has not named it."""

    asker: str
    task: asyncio.Task[None] | None = None
    sent: int = 0
    silent: int = 0


class RelayServer:
    """Attempts that this gateway runs for others. `local(node_id)` is the tier of a node that is connected here."""

    def __init__(
        self,
        own_id: str,
        bus: Bus,
        local: Callable[[str], NodeTier | None],
        *,
        silent_pulses: int = SILENT_PULSES,
    ) -> None:
        self._own_id = own_id
        self._bus = bus
        self._local = local
        self._silent_pulses = silent_pulses
        self._open: dict[str, _Served] = {}

    def __len__(self) -> int:
        return len(self._open)

    def on_ask(self, ask: RelayAsk) -> None:
        """Begin an attempt; one that runs already is not begun twice."""
        if ask.attempt in self._open:
            return
        if len(self._open) >= SERVED_MAX:
            error = TierError("This gateway relays too many attempts", expected=f"at most {SERVED_MAX}")
            self._bus.post(ask.sender, self._ended(ask.attempt, error))
            return
        served = self._open[ask.attempt] = _Served(ask.sender)
        served.task = asyncio.create_task(self._run(ask, served), name=f"relay-{ask.attempt}")
        served.task.add_done_callback(lambda _: self._open.pop(ask.attempt, None))

    def on_cancel(self, message: RelayCancel) -> None:
        """The asker needs it no more."""
        self._stop(message.attempt, message.sender)

    def on_beat(self, beat: RelayBeat) -> None:
        """What the asker waits for. Attempts that are not running here are told to be unknown; attempts of the asker
        that it does not name any more are stopped."""
        named = frozenset(beat.asked)
        for attempt in beat.asked:
            if attempt not in self._open:
                unknown = TierLostError("Nothing is known of this attempt", where=attempt)
                self._bus.post(beat.sender, self._ended(attempt, unknown, unknown=True))
        for attempt, served in tuple(self._open.items()):
            if served.asker == beat.sender and attempt in named:
                served.silent = 0
            elif served.asker == beat.sender:
                self._stop(attempt, beat.sender)

    def on_gone(self, gateway_id: str) -> None:
        """An asker vanished; nobody waits for its attempts."""
        for attempt in self.served(gateway_id):
            self._stop(attempt, gateway_id)

    def served(self, gateway_id: str) -> dict[str, int]:
        """Attempts that we run for a gateway, and how many messages of each were sent."""
        return {attempt: served.sent for attempt, served in self._open.items() if served.asker == gateway_id}

    def peers(self) -> set[str]:
        """Gateways that we serve."""
        return {served.asker for served in self._open.values()}

    def count_silence(self) -> None:
        """Called at each pulse: an attempt that its asker does not name for too long is stopped at the node."""
        for attempt, served in tuple(self._open.items()):
            served.silent += 1
            if served.silent > self._silent_pulses:
                self._stop(attempt, served.asker)

    async def aclose(self) -> None:
        """Stop everything."""
        tasks = [served.task for served in self._open.values() if served.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self, attempt: str, asker: str) -> None:
        served = self._open.get(attempt)
        if served is not None and served.asker == asker and served.task is not None:
            served.task.cancel()

    async def _run(self, ask: RelayAsk, served: _Served) -> None:
        try:
            await self._relay(ask, served)
        except LogUnavailableError as error:
            log.info("relay of attempt %s stopped: %s", ask.attempt, error)
        except EdgewiseError as error:
            self._bus.post(ask.sender, self._ended(ask.attempt, error, served.sent))
        except Exception as error:
            log.exception("relay of attempt %s broke", ask.attempt)
            broken = TierError(f"The relay broke: {type(error).__name__}", where=ask.node_id)
            self._bus.post(ask.sender, self._ended(ask.attempt, broken, served.sent))

    async def _relay(self, ask: RelayAsk, served: _Served) -> None:
        tier, state = self._tier(ask), _state_of(ask)
        adopt(ask.trace)
        async with aclosing(cast(Any, tier.generate(state, ask.attempt))) as chunks:
            async for chunk in chunks:
                message = self._chunk(ask.attempt, served.sent, chunk)
                served.sent += 1
                if not await self._bus.send(ask.sender, message):
                    return  # nobody listens any more; closing the iterator stops the node

    def _tier(self, ask: RelayAsk) -> NodeTier:
        tier = self._local(ask.node_id)
        if tier is None or tier.connection_epoch != ask.connection_epoch:
            raise TierLostError(
                f"Node {ask.node_id} is not connected here", expected=f"connection epoch {ask.connection_epoch}"
            )
        return tier

    def _chunk(self, attempt: str, seq: int, chunk: Chunk) -> RelayChunk:
        return RelayChunk(
            sender=self._own_id,
            attempt=attempt,
            seq=seq,
            n0=chunk.n0,
            ids=chunk.ids,
            text=chunk.text,
            finish=chunk.finish,
            usage=chunk.usage,
            timings=chunk.timings,
        )

    def _ended(self, attempt: str, error: EdgewiseError, seq: int = 0, *, unknown: bool = False) -> RelayEnded:
        return RelayEnded(sender=self._own_id, attempt=attempt, error=error.info(), seq=seq, unknown=unknown)


def _state_of(ask: RelayAsk) -> GenerationState:
    try:
        state = _state_decoder.decode(ask.state)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayMessageError(f"The state of attempt {ask.attempt} does not decode") from error
    if state.local_only:
        raise TierError("This request may not leave its device", where=ask.attempt)
    return state
