"""All upstreams of a gateway: the ready ones in order, what policies may know of them, the loop that watches them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import overload

from control_plane.config import UpstreamConfig
from control_plane.upstreams.http_client import HttpClient
from control_plane.upstreams.kinds import KINDS
from control_plane.upstreams.openai_tier import OpenAITier
from control_plane.upstreams.speech import Tokens, Upstream
from edgewise.ending import end
from edgewise.routing.tier import Tier
from edgewise.wire.errors import ConfigError
from policies import FactValue

logger = logging.getLogger(__name__)
LOOK_S = 2.0


class Upstreams(Sequence[OpenAITier]):
    """A live view: those that are ready at this moment, the least busy first, else in the order of the settings.

    Where none is, all of them: they refuse in words, which tells more than that there is nobody.
    """

    def __init__(self, tiers: Sequence[OpenAITier]) -> None:
        self._tiers = tuple(tiers)

    @classmethod
    def of(
        cls,
        configs: Sequence[UpstreamConfig],
        http: HttpClient,
        tokens: Tokens | None,
        environ: Mapping[str, str] = os.environ,
    ) -> Upstreams:
        """`tokens`: those of the models here, if there are any. Raises ConfigError for settings that do not fit."""
        return cls([OpenAITier(_upstream(each, tokens, environ), http) for each in configs])

    def __len__(self) -> int:
        return len(self._ready())

    def __iter__(self) -> Iterator[OpenAITier]:
        """Of one moment: the order changes, and nobody comes twice for that."""
        return iter(self._ready())

    @overload
    def __getitem__(self, index: int) -> OpenAITier: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[OpenAITier]: ...
    def __getitem__(self, index: int | slice) -> OpenAITier | Sequence[OpenAITier]:
        return self._ready()[index]

    @asynccontextmanager
    async def watched(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> AsyncGenerator[None, None]:
        """Each is looked at every LOOK_S, one that hangs beside the others."""
        tasks = [asyncio.create_task(_looks(tier, sleep), name=f"watch-{tier.name}") for tier in self._tiers]
        try:
            yield
        finally:
            await end(*tasks)
            await asyncio.gather(*(tier.settle() for tier in self._tiers))

    def _ready(self) -> list[OpenAITier]:
        ready = [tier for tier in self._tiers if tier.watch.ready]
        return sorted(ready or self._tiers, key=lambda tier: tier.watch.busy)


def with_upstreams(facts: Mapping[str, FactValue], upstreams: Sequence[Tier]) -> dict[str, FactValue]:
    """The facts of the cloud workers, with the ready upstreams beside them."""
    told = dict(facts)
    ready = [tier for tier in upstreams if tier.load().slots]
    if not ready:
        return told
    workers, waiting = told.get("cloud.workers", 0), told.get("cloud.queue_depth", 0)
    assert isinstance(workers, int) and isinstance(waiting, int)
    queued = sum(tier.load().queued for tier in ready)
    told |= {"cloud.available": True, "cloud.workers": workers + len(ready)}
    return told | ({"cloud.queue_depth": waiting + queued} if queued else {})


def upstream_models(configs: Sequence[UpstreamConfig]) -> dict[str, int | None]:
    """The models of upstreams, and how many tokens the one that reads most of those that take ids reads (0: as many as
    the models here); None where none takes ids."""
    models: dict[str, int | None] = {}
    for each in configs:
        before = models.setdefault(each.model, None)
        if each.token_ids:
            models[each.model] = max(before or 0, each.context_tokens)
    return models


async def _looks(tier: OpenAITier, sleep: Callable[[float], Awaitable[None]]) -> None:
    """For ever, whatever an engine says: one that is looked at no more would stay as it was last seen."""
    while True:
        try:
            await tier.watch.look()
        except Exception:
            logger.exception("a look at %s met a fault of ours", tier.name)
        await sleep(LOOK_S)


def _upstream(config: UpstreamConfig, tokens: Tokens | None, environ: Mapping[str, str]) -> Upstream:
    return Upstream(
        config.name,
        config.base_url,
        config.model,
        environ.get(config.api_key_env, "") if config.api_key_env else "",
        KINDS[config.kind],
        config.continues,
        _tokens(config, tokens),
        config.ranked,
    )


def _tokens(config: UpstreamConfig, tokens: Tokens | None) -> Tokens | None:
    if not config.token_ids:
        return None
    if tokens is None:
        raise ConfigError(
            "There is no model here whose token ids the upstream could take",
            where=f"EDGEWISE_UPSTREAMS, token_ids of {config.name!r}",
            expected="a model directory with the upstream's tokenizer and chat template in EDGEWISE_MODELS",
            remedy="add one, or take token_ids out",
        )
    return dataclasses.replace(tokens, context_tokens=config.context_tokens or tokens.context_tokens)
