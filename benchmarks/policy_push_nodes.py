"""Some of the benchmark's devices in one process: real node links and real policy stores; a line for each policy taken.

    python -m benchmarks.policy_push_nodes URL FIRST COUNT FOLDER      # the node key is in EDGEWISE_BENCH_KEY

Each line of output is `<policy digest> <seconds of the monotonic clock>`, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from edge_agent.policy_store import PolicyStore
from edgewise.node.link import LinkConfig, NodeLink
from edgewise.node.scripted import scripted_manifest
from edgewise.node.telemetry import MemoryTelemetry
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.signals import stop_signals
from edgewise.wire.frames import PolicyOffer
from policies.library import seed_text


def device(url: str, name: str, folder: Path) -> NodeLink:
    """A node that says when it has taken a policy. Its answers are scripted: none is asked for."""
    store = PolicyStore(folder / name, seed_text())

    async def take(offer: PolicyOffer, key: str) -> None:
        await store.take(offer, key)
        print(store.policy_digest, time.monotonic(), flush=True)

    config = LinkConfig(url=url, key=os.environ["EDGEWISE_BENCH_KEY"], node_id=name, kind="edge")
    tier = ScriptedTier(f"edge:{name}", "edge", Script())
    return NodeLink(config, tier, [scripted_manifest()], MemoryTelemetry(f"telemetry-of-{name}"), take)


async def run(url: str, first: int, count: int, folder: Path) -> None:
    """Keep the nodes connected until SIGTERM."""
    links = [device(url, f"node-{number}", folder) for number in range(first, first + count)]
    tasks = [asyncio.create_task(link.run()) for link in links]
    with stop_signals() as stop:
        await stop.wait()
    await asyncio.gather(*(link.stop() for link in links))
    await asyncio.wait(tasks, timeout=5.0)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
