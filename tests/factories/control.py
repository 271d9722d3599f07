"""A whole control plane in this process, on a real port, with its own log server and two scripted nodes."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from control_plane.accounts.first_keys import FirstKeys, read_first_keys
from control_plane.app import build_app
from control_plane.config import ControlConfig
from control_plane.plane import ControlPlane
from control_plane.usage.limits import FREE, Prices
from edgewise.api.server import bind, serving
from edgewise.local.valkey import launch
from edgewise.node.link import LinkConfig, NodeLink
from edgewise.node.telemetry import MemoryTelemetry
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.tier import Capabilities, TierKind
from edgewise.wire.manifest import TEMPLATE_FILE, TOKENIZER_FILE, Manifest, build_manifest, write_manifest
from tests.factories.tokenizers import END_ID, TEMPLATE, tokenizer_json

WORDS = ("one ", "two ", "三 ", "four")


@dataclass(frozen=True)
class Control:
    """A running control plane. `plane` lives on its own event loop when it was started by `control_in_thread`."""

    plane: ControlPlane
    url: str
    keys: FirstKeys
    manifests: dict[TierKind, Manifest]

    def client(self, key: str = "") -> httpx.AsyncClient:
        """An HTTP client with the operator's key, or with this one."""
        headers = {"authorization": f"Bearer {key or self.keys.operator}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30.0, trust_env=False)


def shell_model(directory: Path, kind: TierKind) -> Manifest:
    """A model directory with a real tokenizer and weights that nobody can load."""
    directory.mkdir(parents=True)
    (directory / "weights.bin").write_bytes(kind.encode())
    (directory / TOKENIZER_FILE).write_bytes(tokenizer_json())
    (directory / TEMPLATE_FILE).write_text(TEMPLATE, encoding="utf-8")
    (directory / "CARD.md").write_text(f"# tiny-{kind}\n", encoding="utf-8")
    manifest = build_manifest(
        directory,
        name=f"tiny-{kind}",
        tier=kind,
        format="shell",
        weights="weights.bin",
        context_tokens=1024,
        eos_ids=(END_ID,),
    )
    write_manifest(directory, manifest)
    return manifest


def scripted_link(control: Control, kind: TierKind, node_id: str, script: Script | None = None) -> NodeLink:
    """A node that says WORDS, or follows `script`; run it as a task and stop it."""
    manifest = control.manifests[kind]
    tier = ScriptedTier(
        f"{kind}:{node_id}",
        kind,
        script or Script(words=WORDS),
        Capabilities(
            models=(manifest.name,),
            model_version=manifest.id,
            tokenizer_digest=manifest.tokenizer_digest,
            template_digest=manifest.template_digest,
            context_tokens=1024,
        ),
    )
    config = LinkConfig(
        url=control.url.replace("http", "ws", 1),
        key=control.keys.node,
        node_id=node_id,
        kind=kind,
        labels={"shared": "true"},
    )
    return NodeLink(config, tier, [manifest], MemoryTelemetry(f"telemetry-of-{node_id}"))


@asynccontextmanager
async def running_control(
    directory: Path, log_url: str, *, database_url: str = "", prices: Prices = FREE
) -> AsyncIterator[Control]:
    """A control plane in `directory` with no nodes yet."""
    kinds: tuple[TierKind, ...] = ("edge", "cloud")
    manifests = {kind: shell_model(directory / f"model-{kind}", kind) for kind in kinds}
    listener = bind("127.0.0.1", 0)
    config = ControlConfig(
        data_dir=directory / "data",
        port=listener.getsockname()[1],
        log_url=log_url,
        database_url=database_url,
        models=tuple(directory / f"model-{kind}" for kind in kinds),
        prices=prices,
    )
    async with ControlPlane.running(config) as plane, serving(build_app(plane), listener, http="httptools"):
        keys = read_first_keys(config.data_dir)
        assert keys is not None
        yield Control(plane, config.base_url, keys, manifests)


@asynccontextmanager
async def with_nodes(control: Control) -> AsyncIterator[Control]:
    """One scripted node of each kind, `edge-0` and `worker-0`, joined."""
    links = [scripted_link(control, "edge", "edge-0"), scripted_link(control, "cloud", "worker-0")]
    tasks = [asyncio.create_task(link.run()) for link in links]
    try:
        for link in links:
            await link.connected.wait()
        yield control
    finally:
        for link in links:
            await link.stop()
        await asyncio.gather(*tasks)


@contextmanager
def own_log_server() -> Iterator[str]:
    """The URL of a log server that nobody else uses: a control plane takes up every orphan that it finds in one."""
    with tempfile.TemporaryDirectory(prefix="ew-test-") as folder:
        server = launch(Path(folder))
        server.wait_ready()
        try:
            yield server.url
        finally:
            server.stop()


@contextmanager
def control_in_thread(directory: Path, log_url: str) -> Iterator[Control]:
    """A control plane with nodes on an event loop of its own, for clients that block."""
    started: list[Control] = []
    ready, stop = threading.Event(), threading.Event()

    async def run() -> None:
        async with running_control(directory, log_url) as control, with_nodes(control):
            started.append(control)
            ready.set()
            await asyncio.to_thread(stop.wait)

    def main() -> None:
        try:
            asyncio.run(run())
        finally:
            ready.set()

    thread = threading.Thread(target=main, name="control-plane")
    thread.start()
    try:
        ready.wait()
        assert started, "the control plane did not start"
        yield started[0]
    finally:
        stop.set()
        thread.join()
