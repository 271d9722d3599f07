"""One try of one tier: its first chunk under a deadline, then the rest, and a clean abandonment at any moment."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import cast

from edgewise.generation.state import GenerationState
from edgewise.observability.context import enter
from edgewise.observability.trail import Leg, unobserved
from edgewise.routing.tier import Chunk, Tier, WholeTier
from edgewise.wire.errors import EdgewiseError, TierError, TierRejectedError, TierTimeoutError

logger = logging.getLogger(__name__)


class Attempt:
    """Owns the iterator of `tier.generate`; `generate_whole` stands in for it where that is asked for and offered (then
    `whole`). Use `next` until a chunk with `finish` came; `leg` is marked on the way."""

    def __init__(
        self, tier: Tier, state: GenerationState, attempt_id: str, leg: Leg | None = None, *, whole: bool = False
    ) -> None:
        self.whole = whole and tier.capabilities.whole
        self.tier = tier
        self.leg = leg or unobserved().leg(attempt_id, tier.name, tier.kind)
        self.id = attempt_id
        self.tokens = 0
        self.state = state
        self.failure: TierError | None = None
        self._next_index = len(state.output_ids)
        self._chunks = None if self.whole else tier.generate(state, attempt_id)
        self._open = True

    async def next(self, timeout_s: float | None) -> Chunk:
        """The next chunk. Raises TierTimeoutError after `timeout_s` of silence, TierRejectedError when the request is
        at fault, and TierError for everything else that a tier can do wrong, so that the runner can always go on."""
        try:
            return await self._next(timeout_s)
        except TierError as error:
            self.failure = error
            self.leg.end(error.info().code, self.tokens)
            raise

    async def _next(self, timeout_s: float | None) -> Chunk:
        if not self.leg.first_at:
            enter(self.leg.context)  # the tier sends it on; later chunks need none
        try:
            async with asyncio.timeout(timeout_s):
                chunk = await (anext(self._chunks) if self._chunks else self._in_one_piece())
        except TimeoutError as error:
            raise TierTimeoutError(
                f"{self.tier.name} gave no token for {timeout_s:g} s", where=self.tier.name
            ) from error
        except StopAsyncIteration as error:
            raise TierError(f"{self.tier.name} stopped without saying why", where=self.tier.name) from error
        except TierError:
            raise
        except EdgewiseError as error:
            raise TierRejectedError(error.info()) from error
        except Exception as error:
            logger.exception("tier %s broke", self.tier.name)
            raise TierError(f"{self.tier.name} broke: {type(error).__name__}", where=self.tier.name) from error
        self._check(chunk)
        return chunk

    async def _in_one_piece(self) -> Chunk:
        chunk = await cast(WholeTier, self.tier).generate_whole(self.state, self.id)
        if chunk.finish is None:
            raise TierError(f"{self.tier.name} gave a part for a whole answer", where=self.tier.name)
        return chunk

    def _check(self, chunk: Chunk) -> None:
        if chunk.ids and chunk.n0 != self._next_index:
            raise TierError(
                f"{self.tier.name} sent token {chunk.n0}", where=self.tier.name, expected=f"token {self._next_index}"
            )
        self._next_index += len(chunk.ids)
        self.tokens += len(chunk.ids) or (1 if chunk.text else 0)
        if not self.leg.first_at:
            self.leg.spoke()
        if chunk.finish is not None:
            self._open = False
            self.leg.end(chunk.finish, self.tokens, chunk.timings)

    async def abandon(self) -> None:
        """Stop the tier's work at once and close its iterator; safe to call twice, and after the end."""
        was_open, self._open = self._open, False
        self.leg.end("cancelled", self.tokens)
        try:
            if was_open:
                with suppress(EdgewiseError):
                    await self.tier.cancel(self.id)
        finally:
            close = getattr(self._chunks, "aclose", None)
            if close is not None:
                with suppress(EdgewiseError):
                    await close()
