"""First token and tokens/s through the whole stack, edge and cloud, beside the same engines alone in this process.

    python -m benchmarks.first_token [--json] [--answers N]

The stack is a fresh `edgewise up`; each answer is one streamed request over HTTP, one at a time. The peer is the
engine's own driver with nothing around it: no HTTP, no policy, no log, no session. Stack and peer take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.progress import track

from benchmarks.report import Floor, Report, Row, machine, percentile, row, show
from benchmarks.stack import Stack, running_stack
from cloud_worker.engine.loader import load_engine as load_torch_engine
from edge_agent.runtime.engine import OnnxEngine
from edgewise.dialects.sse import SseParser
from edgewise.generation.state import GenerationState, Message, Sampling
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.local.models import find_model
from edgewise.node.driver import EngineDriver
from edgewise.node.engine import Engine
from edgewise.routing.tier import TierKind

QUESTION = "List the letters of the alphabet with a sentence each"
MAX_TOKENS = 150


@dataclass(frozen=True)
class Sample:
    """One answer: seconds to the first text, seconds from there to the end, and tokens."""

    first_s: float
    rest_s: float
    tokens: int

    @property
    def tokens_per_s(self) -> float:
        """Tokens after the first, per second."""
        return (self.tokens - 1) / self.rest_s if self.rest_s > 0 else 0.0


Ask = Callable[[], Awaitable[Sample]]


async def ask_stack(client: httpx.AsyncClient, stack: Stack, kind: TierKind) -> Sample:
    """One streamed answer through HTTP."""
    body = {
        "model": "edgewise",
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": True,
        "temperature": 0,
        "max_tokens": MAX_TOKENS,
        "edgewise": {"mode": kind},
    }
    headers = {"authorization": f"Bearer {stack.keys['app']}"}
    parser, started, first, tokens = SseParser(), time.perf_counter(), 0.0, 0
    async with client.stream("POST", f"{stack.base_url}/v1/chat/completions", json=body, headers=headers) as response:
        response.raise_for_status()
        async for block in response.aiter_bytes():
            for event in parser.feed(block):
                if event.data == "[DONE]":
                    continue
                chunk: dict[str, Any] = json.loads(event.data)
                first = first or (time.perf_counter() if _text(chunk) else 0.0)
                tokens = chunk.get("edgewise", {}).get("tokens", tokens)
    return Sample(first - started, time.perf_counter() - first, tokens)


def _text(chunk: dict[str, Any]) -> str:
    return str(chunk["choices"][0]["delta"].get("content") or "") if chunk.get("choices") else ""


async def ask_engine(driver: EngineDriver, state: GenerationState, number: int) -> Sample:
    """The same answer from the engine alone."""
    started, first, tokens = time.perf_counter(), 0.0, 0
    async for chunk in driver.generate(state, f"bench-{number}"):
        first = first or (time.perf_counter() if chunk.text else 0.0)
        tokens += len(chunk.ids)
    return Sample(first - started, time.perf_counter() - first, tokens)


@asynccontextmanager
async def engine_alone(kind: TierKind, directory: Path) -> AsyncIterator[Callable[[int], Awaitable[Sample]]]:
    """The engine of one tier in this process; yields a function that asks it once."""
    tokenizer = ChatTokenizer.load(directory)
    engine: Engine = OnnxEngine.load(directory) if kind == "edge" else load_torch_engine(directory)
    driver = EngineDriver(engine, tokenizer, kind=kind, name=kind, models=(kind,))
    messages = (Message("user", QUESTION),)
    state = GenerationState(
        prompt_ids=tokenizer.encode_chat(messages),
        messages=messages,
        model=kind,
        max_tokens=MAX_TOKENS,
        seed=1,
        sampling=Sampling(temperature=0.0),
        eos_ids=tokenizer.eos_ids,
        tokenizer_digest=tokenizer.digest,
        template_digest=tokenizer.template_digest,
    )
    await driver.start()
    try:
        yield lambda number: ask_engine(driver, state, number)
    finally:
        await driver.stop()


def rows(kind: TierKind, ours: list[Sample], peers: list[Sample]) -> list[Row]:
    """First token p50 and p95 and tokens/s p50 of one tier."""
    made = []
    for percent in (50.0, 95.0):
        made.append(
            row(
                f"first token p{percent:.0f}",
                f"{kind}, one answer at a time",
                "ms",
                "lower",
                percentile([sample.first_s * 1000 for sample in ours], percent),
                peer="engine alone",
                peer_value=percentile([sample.first_s * 1000 for sample in peers], percent),
                samples=len(ours),
                floor=Floor("ours", "<=", 200.0),
            )
        )
    made.append(
        row(
            "tokens/s p50",
            f"{kind}, one answer at a time",
            "tokens/s",
            "higher",
            percentile([sample.tokens_per_s for sample in ours], 50),
            peer="engine alone",
            peer_value=percentile([sample.tokens_per_s for sample in peers], 50),
            samples=len(ours),
            floor=Floor("ours", ">=", 30.0),
        )
    )
    return made


async def measure(stack: Stack, answers: int, *, quiet: bool) -> list[Row]:
    """Both tiers, stack and engine in turn; two answers of each are warm-up."""
    made: list[Row] = []
    kinds: tuple[TierKind, ...] = ("edge", "cloud")
    async with httpx.AsyncClient(timeout=60) as client:
        for kind in kinds:
            ours, peers = [], []
            async with engine_alone(kind, find_model(kind).path) as ask_alone:
                for number in track(range(answers + 2), description=kind, disable=quiet, transient=True):
                    ours.append(await ask_stack(client, stack, kind))
                    peers.append(await ask_alone(number))
            made += rows(kind, ours[2:], peers[2:])
    return made


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="First token and tokens/s through the whole stack.")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--answers", type=int, default=30, help="answers per tier (default 30)")
    options = parser.parse_args()
    with running_stack() as stack:
        made = asyncio.run(measure(stack, options.answers, quiet=options.json))
    show(Report("first_token", machine(), made), as_json=options.json)


if __name__ == "__main__":
    main()
