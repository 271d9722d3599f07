"""Two worker processes at a real gateway: one is killed in mid-answer, the other completes it token for token."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn

from control_plane.nodes.admission import Admission
from control_plane.nodes.registry import NodeRegistry
from control_plane.nodes.socket import NodeSocket
from edgewise.generation.state import GenerationState, Sampling
from edgewise.routing.tier import Chunk, Tier
from edgewise.wire.errors import TierError
from edgewise.wire.frames import Hello
from tests.factories.models import write_tiny_model
from tests.factories.states import make_state

pytestmark = pytest.mark.system
ANSWER_TOKENS = 60
SAMPLING = Sampling(temperature=0.9, top_p=0.95)


async def admit(hello: Hello) -> Admission:
    return Admission(key_id=hello.key, tenant="acme")


@asynccontextmanager
async def gateway(registry: NodeRegistry) -> AsyncIterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(NodeSocket(registry), host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def worker(name: str, port: int, directory: Path, *flags: str) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "edgewise.cli.main", "worker", "--url", f"http://127.0.0.1:{port}"]
    command += ["--name", name, "--model", str(directory), "--data-dir", str(directory / "data"), *flags]
    environ = os.environ | {"OMP_NUM_THREADS": "1", "EDGEWISE_WORKER_KEY": "ek_test"}
    process = await asyncio.create_subprocess_exec(*command, env=environ)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def connected(registry: NodeRegistry, name: str) -> Tier:
    while (tier := registry.get(name)) is None:
        await asyncio.sleep(0.02)
    return tier


async def read(tier: Tier, state: GenerationState, attempt: str) -> list[Chunk]:
    return [chunk async for chunk in tier.generate(state, attempt)]


def ids_of(chunks: list[Chunk]) -> tuple[int, ...]:
    return tuple(token for chunk in chunks for token in chunk.ids)


async def test_a_killed_worker_s_answer_is_completed_by_another(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    registry, state = NodeRegistry(admit), make_state(max_tokens=ANSWER_TOKENS, sampling=SAMPLING, eos_ids=(319,))
    async with (
        gateway(registry) as port,
        worker("slow", port, tmp_path, "--throttle", "50") as slow,
        worker("fast", port, tmp_path),
    ):
        fast_tier, slow_tier = await connected(registry, "fast"), await connected(registry, "slow")
        whole = await read(fast_tier, state, "undisturbed")
        begun: list[Chunk] = []
        with pytest.raises(TierError):
            async for chunk in slow_tier.generate(state, "begun"):
                begun.append(chunk)
                if len(ids_of(begun)) >= 5:
                    slow.send_signal(signal.SIGKILL)
        said = ids_of(begun)
        assert 5 <= len(said) < len(ids_of(whole))
        rest = await read(fast_tier, state.advanced(said, ""), "rest")
        assert said + ids_of(rest) == ids_of(whole)
        assert "".join(c.text for c in begun + rest) == "".join(c.text for c in whole)
        assert fast_tier.capabilities.numerics_id == slow_tier.capabilities.numerics_id
