"""A whole device without sockets: real graph, driver, log and ring under the local API, and a cloud that is watched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from edge_agent.cloud import FAMILY_MODEL
from edge_agent.host import DeviceHost, Link
from edge_agent.ladder import Limits
from edge_agent.local_api import LocalApi
from edge_agent.policy_store import PolicyStore
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edge_agent.serving.placing import clamped
from edge_agent.telemetry.buffer import TelemetryRing
from edge_agent.telemetry.sources import FixedSource
from edgewise.api.host import Family
from edgewise.api.service import AnswerService
from edgewise.generation.state import GenerationState
from edgewise.generation.text import TextStream
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.node.driver import EngineDriver
from edgewise.routing.runner import Runner
from edgewise.routing.tier import Capabilities, Chunk, Load, TierKind
from edgewise.streams.sqlite_log import SqliteStreamLog
from edgewise.streams.tailer import TailerHub
from edgewise.wire.frames import TelemetryRecord
from policies.library import seed_text

NOW = 1_700_000_000.0


class WatchedCloud:
    """A cloud tier that answers with fixed text and keeps every state that reached it."""

    kind: TierKind = "cloud"
    name = "cloud:watched"
    capabilities = Capabilities(models=(FAMILY_MODEL,), continues=False)

    def __init__(self) -> None:
        self.seen: list[GenerationState] = []

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        self.seen.append(state)
        yield Chunk(0, (), "from the cloud")
        yield Chunk(0, (), "", "stop")

    async def cancel(self, attempt: str) -> None:
        pass

    def load(self) -> Load:
        return Load()


class Device:
    """The parts, changeable while it runs: `source.facts`, `link`, and `limits` of the ladder."""

    def __init__(self, directory: Path, driver: EngineDriver, tokenizer: ChatTokenizer, local_key: str) -> None:
        self.edge = driver
        self.tokenizer = tokenizer
        self.cloud = WatchedCloud()
        self.source = FixedSource(battery_pct=80.0, cpu_temp_c=40.0, link="wifi")
        self.link = Link(online=True, rtt_ms=20.0)
        self.limits = Limits()
        self.policies = PolicyStore(directory / "policy", seed_text())
        self.telemetry = TelemetryRing(directory / "telemetry.sqlite3", now=lambda: NOW)
        self.log = SqliteStreamLog(directory / "streams.sqlite3")
        self.runner = Runner(self.log, holder="agent:test", lease_s=2.0)
        manifest_context = driver.capabilities.context_tokens
        host = DeviceHost(
            name="phone-1",
            edge=driver,
            cloud=self.cloud,
            families=lambda: {FAMILY_MODEL: Family(FAMILY_MODEL, tokenizer, manifest_context)},
            decide=self.policies.decide,
            link=lambda: self.link,
            device_facts=self.source.read,
            record=self.telemetry.append,
            local_key=local_key,
            clamp=lambda decision, facts: clamped(decision, facts, self.limits, every_row=True),
            now=lambda: NOW,
        )
        self.service = AnswerService(host, self.log, TailerHub(self.log), self.runner)
        self.app = LocalApi(self.service, lambda: {"name": "phone-1"})
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://127.0.0.1",
            headers={"authorization": "Bearer app-one"},
        )

    async def ask(self, text: str, **more: object) -> httpx.Response:
        """A whole (not streamed) answer of at most 8 tokens."""
        message = {"role": "user", "content": text}
        body = {"model": FAMILY_MODEL, "messages": [message], "max_tokens": 8, "seed": 1, **more}
        return await self.http.post("/v1/chat/completions", json=body)

    def tokenizer_text(self, ids: tuple[int, ...]) -> str:
        """The text that a tier would have released for these ids by now."""
        return TextStream(self.tokenizer, ()).push(ids).text

    def records(self) -> list[TelemetryRecord]:
        batch = self.telemetry.pending(self.telemetry.acked, 256)
        return list(batch.records) if batch else []


@asynccontextmanager
async def running_device(
    model_dir: Path,
    data_dir: Path,
    *,
    local_key: str = "",
    options: EngineOptions | None = None,
    engine: OnnxEngine | None = None,
) -> AsyncIterator[Device]:
    data_dir.mkdir(parents=True, exist_ok=True)
    tokenizer = ChatTokenizer.load(model_dir)
    engine = engine or OnnxEngine.load(model_dir, options)
    driver = EngineDriver(engine, tokenizer, kind="edge", name="edge:phone-1", models=("tiny-edge",))
    await driver.start()
    device = Device(data_dir, driver, tokenizer, local_key)
    try:
        yield device
    finally:
        await device.runner.drain(1.0)
        await device.http.aclose()
        await driver.stop()
        await device.log.aclose()
        device.telemetry.close()
