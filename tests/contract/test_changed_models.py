"""A device that changes its model tells the gateway: a new hello once what runs has ended. Real sockets and engines."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from control_plane.nodes.tier import ConnectedTier
from edge_agent.ladder import Accept, Limits
from edge_agent.serving import GatewayDoor, ServedModel
from edgewise.node.link import LinkConfig, NodeLink
from edgewise.node.telemetry import MemoryTelemetry
from edgewise.routing.tier import Chunk
from edgewise.wire.errors import TierLeavingError, TierRefusedError
from tests.control_plane.nodes.conftest import KEY, QUICK, Gateway, quick_registry, running_gateway
from tests.edge_agent.serving.stage import Stage, begin, ids, until
from tests.edge_agent.tiny_model import write_tiny_model

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    old, new = tmp_path_factory.mktemp("old"), tmp_path_factory.mktemp("new")
    write_tiny_model(old)
    write_tiny_model(new, seed=11)
    return old, new


@asynccontextmanager
async def linked(served: ServedModel, gateway: Gateway) -> AsyncIterator[NodeLink]:
    """A link as the agent makes it."""
    address = f"ws://127.0.0.1:{gateway.port}"
    about = LinkConfig(url=address, key=KEY, node_id="phone", kind="edge", backoff=QUICK)
    manifests = [served.models.manifest]
    link = NodeLink(about, GatewayDoor(served), manifests, MemoryTelemetry("s"), rng=random.Random(1))
    served.models.watch(lambda: link.offer([served.models.manifest]))
    task = asyncio.create_task(link.run())
    await link.connected.wait()
    try:
        yield link
    finally:
        await link.stop()
        await task


def node(gateway: Gateway) -> ConnectedTier:
    found = gateway.registry.get("phone")
    assert found is not None
    return found


async def test_running_answers_end_first_and_new_ones_wait_for_the_new_hello(models: tuple[Path, Path]) -> None:
    old, new = models
    async with (
        running_gateway(quick_registry()) as gateway,
        Stage().serving(old) as served,
        linked(served, gateway) as link,
    ):
        before, state = node(gateway), begin(served)
        undisturbed = await ids(served, state, "here")
        served.models.obey(Limits(tokens_per_s=0.1))  # it does not end before it may
        running = before.generate(state, "a1")
        seen: list[Chunk] = [await anext(running)]
        manifest = await served.models.swap(new)
        with pytest.raises(TierRefusedError, match="changes its model") as refused:
            await ids(before, state, "a2")
        assert refused.value.retry_after_s
        served.models.obey(Limits())
        seen += [chunk async for chunk in running]
        assert tuple(token for chunk in seen for token in chunk.ids) == undisturbed
        assert seen[-1].finish == "length"
        await gateway.until(lambda: gateway.registry.get("phone") not in (None, before))
        assert node(gateway).capabilities.model_version == manifest.id
        assert link.connection_epoch == 2 and link.last_error is None
        assert await ids(node(gateway), state, "a3") == await ids(served, state, "here") != undisturbed


async def test_a_gateway_that_asks_for_nothing_hears_of_it_at_once(models: tuple[Path, Path]) -> None:
    old, new = models
    async with (
        running_gateway(quick_registry()) as gateway,
        Stage().serving(old, threads=2) as served,
        linked(served, gateway) as link,
    ):
        served.models.obey(Limits(threads=1))
        await until(lambda: served.models.current is not None and served.models.current.manner.threads == 1)
        assert link.connection_epoch == 1  # other threads, the same answers: nothing to tell
        manifest = await served.models.swap(new)
        await gateway.until(lambda: link.connection_epoch == 2)
        assert node(gateway).capabilities.model_version == manifest.id


async def test_refusals_and_leaving_reach_the_gateway_as_what_they_are(models: tuple[Path, Path]) -> None:
    old, _ = models
    async with (
        running_gateway(quick_registry()) as gateway,
        Stage().serving(old) as served,
        linked(served, gateway),
    ):
        state = begin(served, max_tokens=200)
        served.models.obey(Limits(accept=Accept.ONLY_HERE, reason="the battery is low"))
        with pytest.raises(TierRefusedError, match="battery is low") as refused:
            await ids(node(gateway), state)
        assert refused.value.retry_after_s and refused.value.remedy
        served.models.obey(Limits(hand_over=True, reason="the device is too hot"))
        with pytest.raises(TierLeavingError, match="too hot"):
            await ids(node(gateway), state, "b")
