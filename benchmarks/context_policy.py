"""`python -m benchmarks.context_policy`: what a model still knows of a text when a policy drops rows of its cache.

The reference edge model answers look-ups of the curriculum greedily, through the agent's own rows and policy: exact
answers, the perplexity of the right answers, and the bytes of the cache. Seeded, so a machine repeats its figures.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rich.progress import Progress
from tokenizers import Tokenizer

from benchmarks.report import Better, Report, Row, machine, row, show
from cloud_worker.forge.curriculum import Exercise, Language
from cloud_worker.forge.curriculum.long_answers import draw_story
from cloud_worker.forge.curriculum.lookup import draw_long_lookup, draw_lookup
from cloud_worker.forge.evaluate import judge, perplexity, prompt_ids
from cloud_worker.forge.evaluate.one_by_one import OneByOne
from cloud_worker.forge.evaluate.one_by_one import Row as LogitsRow
from cloud_worker.forge.tokenizer import END
from edge_agent.runtime.context import ContextPolicy, make_room
from edge_agent.runtime.engine import CHUNK_TOKENS
from edgewise.graphs import DecoderGraph
from edgewise.wire.manifest import load_manifest

MODEL: Final = Path(__file__).parents[1] / "reference_models" / "edge"
SEED: Final = 660_001
EACH: Final = 12
FULL: Final = "full"


@dataclass(frozen=True)
class Task:
    """Exercises of one kind and how many rows the policies that meet them have."""

    name: str
    exercises: tuple[Exercise, ...]
    sizes: tuple[int, ...]


class PolicyRows(OneByOne):
    """A cache row of a graph as a Decoder, from which a policy drops rows; None drops none."""

    def __init__(self, graph: DecoderGraph, context_tokens: int, policy: ContextPolicy | None) -> None:
        super().__init__(END, context_tokens)
        self._policy = policy
        self._row = graph.new_row(policy.full if policy else context_tokens)

    @property
    def kv_bytes(self) -> int:
        """Bytes of the cache."""
        return self._row.kv_bytes

    def begin(self) -> None:
        """See OneByOne."""
        self._row.rewind(0)

    def feed(self, ids: Sequence[int]) -> LogitsRow:
        """See OneByOne. Several ids are read in the chunks of a prompt, one alone as a device decodes it."""
        start = 0
        while start < len(ids):
            most = CHUNK_TOKENS
            if self._policy is not None:
                make_room(self._row, self._policy)
                most = min(most, self._policy.place_after(self._row.length) - self._row.length)
            logits = self._row.forward(ids[start : start + most], many=len(ids) > 1)
            start += most
        last: LogitsRow = logits[-1].copy()
        return last


def policies(sizes: Sequence[int], context_tokens: int) -> Iterator[tuple[str, ContextPolicy | None]]:
    """Every policy by its name: all rows, then for each size the ways to choose those that stay."""
    yield FULL, None
    for full in sizes:
        every, keys = full // 8, full // 4
        yield f"window, {full} rows", ContextPolicy(full=full, sinks=0, keys=0, every=every, window_to=context_tokens)
        yield f"sinks + window, {full} rows", ContextPolicy(full=full, keys=0, every=every, window_to=context_tokens)
        yield f"sinks + keys + window, {full} rows", ContextPolicy(full=full, keys=keys, every=every, window_to=full)
        if (later := 2 * full) < context_tokens:
            policy = ContextPolicy(full=full, keys=keys, every=every, window_to=later)
            yield f"sinks + window, keys from {later} tokens on, {full} rows", policy


def tasks(each: int) -> list[Task]:
    """`each` exercises for every grade and language."""
    numbers = random.Random(SEED)
    cells = [(language, grade) for language in Language for grade in (1, 2, 3, 4) for _ in range(each)]
    long = tuple(draw_long_lookup(numbers, language, grade, False) for language, grade in cells)
    short = tuple(draw_lookup(numbers, language, grade, False) for language, grade in cells if grade > 2)
    stories = tuple(draw_story(numbers, language, grade, False) for language, grade in cells if grade > 2)
    return [
        Task("long look-up", long, (128, 256, 512)),
        Task("look-up", short, (64, 128)),
        Task("story", stories, (64,)),
    ]


def measure(
    task: Task, graph: DecoderGraph, tokenizer: Tokenizer, context_tokens: int, progress: Progress
) -> list[Row]:
    """Three rows for each policy; the peer of each is the full cache."""
    lengths = sorted(len(prompt_ids(tokenizer, exercise)) for exercise in task.exercises)
    about = f"{task.name}, prompts of {lengths[0]} to {lengths[-1]} tokens"
    found: dict[str, tuple[float, float, float]] = {}
    for name, policy in policies(task.sizes, context_tokens):
        model = PolicyRows(graph, context_tokens, policy)
        bar = progress.add_task(f"{task.name}: {name}", total=len(task.exercises))
        marks = judge(model, tokenizer, task.exercises, advance=partial(progress.advance, bar))
        progress.remove_task(bar)
        right = 100 * sum(mark.right for mark in marks) / len(marks)
        found[name] = right, perplexity(marks), model.kv_bytes / 1024
    return [made for name in found for made in _rows(f"{about}: {name}", found[name], found[FULL], len(task.exercises))]


def _rows(
    condition: str, ours: tuple[float, float, float], full: tuple[float, float, float], samples: int
) -> Iterator[Row]:
    def made(at: int, metric: str, unit: str, *, higher: bool = False) -> Row:
        better: Better = "higher" if higher else "lower"
        return row(metric, condition, unit, better, ours[at], peer=FULL, peer_value=full[at], samples=samples)

    yield made(0, "right answers", "%", higher=True)
    yield made(1, "perplexity of the right answer", "")
    yield made(2, "cache", "KiB")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="What dropping rows of the cache costs in answers.")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--each", type=int, default=EACH, help=f"exercises per grade and language (default {EACH})")
    options = parser.parse_args()
    tokenizer, context_tokens = Tokenizer.from_file(str(MODEL / "tokenizer.json")), load_manifest(MODEL).context_tokens
    graph = DecoderGraph.load(MODEL / "model.onnx")
    with Progress(transient=True, disable=options.json) as progress:
        found = [measure(task, graph, tokenizer, context_tokens, progress) for task in tasks(options.each)]
    show(Report("context_policy", machine(), [made for rows in found for made in rows]), as_json=options.json)


if __name__ == "__main__":
    main()
