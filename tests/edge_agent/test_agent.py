"""The wired agent over loopback HTTP: alone, with a control plane that is gone, throttled, and as somebody's cloud."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from edge_agent.agent import EdgeAgent
from edge_agent.cloud import CloudTier
from edge_agent.config import AgentConfig
from edge_agent.runtime.context import ContextMode
from edgewise.api.intake import Snapshot
from edgewise.api.server import bind, serving
from edgewise.generation.state import GenerationState, Message
from edgewise.wire.errors import ConfigError, DataDirError, ModelDigestError, ModelMissingError, PortInUseError
from tests.edge_agent.tiny_model import VOCAB, write_tiny_model
from tests.factories.bundles import KEY, offered

ALWAYS_EDGE = (
    "apiVersion: edgewise/v1\nkind: RoutingPolicy\nmetadata: {name: always-edge}\nspec:\n  rules: []\n"
    "  default: {mode: edge, reason: there is nothing else}\n  onError: {mode: edge, reason: error}\n"
)


@pytest.fixture
def config(tiny_dir: Path, tmp_path: Path) -> AgentConfig:
    return AgentConfig(model_dir=tiny_dir, data_dir=tmp_path / "data", name="phone-1", local_port=0, threads=1)


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def served(config: AgentConfig) -> AsyncIterator[tuple[EdgeAgent, httpx.AsyncClient]]:
    """A running agent behind a real socket, and a client of it."""
    listener = bind(config.local_host, config.local_port)
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = httpx.AsyncClient(base_url=base, trust_env=False, timeout=30.0)
    async with EdgeAgent.running(config) as agent, serving(agent.app, listener), client:
        yield agent, client


async def ask(client: httpx.AsyncClient, **more: Any) -> httpx.Response:
    body = {"model": "edgewise", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 6, "seed": 1, **more}
    return await client.post("/v1/chat/completions", json=body)


async def test_it_serves_while_its_control_plane_cannot_be_reached(config: AgentConfig) -> None:
    away = AgentConfig(
        **{**vars(config), "url": f"http://127.0.0.1:{closed_port()}", "key": "ek_node", "app_key": "ek_app"}
    )
    async with served(away) as (_, client):
        health = (await client.get("/healthz")).json()
        assert (health["online"], health["healthy"], health["model"]) == (False, True, "tiny-edge")
        answer = (await ask(client)).json()
        assert (answer["edgewise"]["tier"], answer["edgewise"]["rule"]) == ("edge:phone-1", "offline")


async def test_telemetry_and_policy_outlive_a_restart(config: AgentConfig) -> None:
    offer = offered(ALWAYS_EDGE)
    async with EdgeAgent.running(config) as agent:
        await agent.policies.take(offer, KEY)
        stream = agent.telemetry.stream
        batch = agent.telemetry.pending(0, 10)
        assert batch is not None and batch.records[0].kind == "device"
    async with EdgeAgent.running(config) as again:
        assert (again.policies.digest, again.telemetry.stream) == (offer.digest, stream)
        batch = again.telemetry.pending(0, 10)
        assert batch is not None and len(batch.records) == 2


async def test_owners_of_contexts_outlive_a_restart_and_are_another_devices_strangers(
    config: AgentConfig, tmp_path: Path
) -> None:
    salts = []
    for data_dir in (config.data_dir, config.data_dir, tmp_path / "another"):
        async with served(replace(config, data_dir=data_dir)) as (agent, client):
            request = await agent.runner._log.request((await ask(client)).headers["x-edgewise-stream-id"])
            salts.append(msgspec.msgpack.decode(request, type=Snapshot).state.salt)
    assert salts[0] == salts[1] != salts[2] and len(salts[0]) == 32


async def test_facts_of_a_file_reach_the_policy_of_the_running_agent(config: AgentConfig, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    facts.write_text('{"battery_pct": 7, "cpu_temp_c": 33}')
    told = AgentConfig(**{**vars(config), "device_facts": facts})
    async with EdgeAgent.running(told) as agent:
        batch = agent.telemetry.pending(0, 10)
        assert batch is not None
        sample = next(record for record in batch.records if record.kind == "device")
        assert sample.values["device.battery_pct"] == 7.0
        assert sample.values["memory.available_bytes"]


async def test_memory_and_context_are_as_configured(config: AgentConfig) -> None:
    small = AgentConfig(**{**vars(config), "memory_reserve_mb": 1 << 30, "context": ContextMode.WINDOWED})
    async with served(small) as (agent, client):
        assert "windowed-128" in agent.tier.capabilities.numerics_id
        refused = await ask(client)
        assert refused.status_code == 503 and refused.json()["error"]["code"] == "no_tier_available"
        assert "of memory for its context" in refused.json()["error"]["message"]


async def test_a_throttled_device_is_never_faster_than_allowed(config: AgentConfig) -> None:
    slow = AgentConfig(**{**vars(config), "throttle_tokens_per_s": 40.0})
    async with served(slow) as (_, client):
        told = (await ask(client, max_tokens=9)).json()
        assert told["edgewise"]["total_ms"] >= 8 * 25 - 5


async def test_the_cloud_tier_streams_from_a_real_server_and_cancels_there(config: AgentConfig) -> None:
    slow = AgentConfig(**{**vars(config), "throttle_tokens_per_s": 100.0})
    async with served(slow) as (agent, client):
        await agent.policies.take(offered(ALWAYS_EDGE), KEY)
        cloud = CloudTier(str(client.base_url), "app", client)
        state = GenerationState(
            prompt_ids=(), messages=(Message("user", "hi"),), model="edgewise", max_tokens=6, seed=1
        )
        chunks = [chunk async for chunk in cloud.generate(state, "a")]
        assert "".join(chunk.text for chunk in chunks) == (await ask(client)).json()["choices"][0]["message"]["content"]
        assert chunks[-1].finish == "length" and chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 6

        endless = GenerationState(**{**{f: getattr(state, f) for f in state.__struct_fields__}, "max_tokens": 400})
        async for _ in cloud.generate(endless, "b"):
            await cloud.cancel("b")
            await cloud.settle()
            break
        await agent.runner.drain(5.0)
        assert agent.runner.running == 0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model_dir": Path("/nowhere/at/all")}, ModelMissingError),
        ({"url": "http://127.0.0.1:1"}, ConfigError),
        ({"data_dir": Path("/proc/edgewise")}, DataDirError),
    ],
)
async def test_what_is_missing_is_named_at_the_start(
    config: AgentConfig, change: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="To do"):
        async with EdgeAgent.running(AgentConfig(**{**vars(config), **change})):
            pass


async def test_a_tokenizer_that_does_not_fit_the_model_is_named_at_the_start(
    config: AgentConfig, tmp_path: Path
) -> None:
    """Its digest is the manifest's, but the graph has fewer ids."""
    write_tiny_model(tmp_path / "narrow", vocab=VOCAB - 3)
    with pytest.raises(ModelDigestError, match=f"up to {VOCAB - 1}"):
        async with EdgeAgent.running(replace(config, model_dir=tmp_path / "narrow")):
            pass


def test_a_port_in_use_is_named_with_its_remedy() -> None:
    with bind("127.0.0.1", 0) as taken, pytest.raises(PortInUseError, match="choose another port"):
        bind("127.0.0.1", taken.getsockname()[1])
