"""A Decoder in several processes: prompts are dealt to them in parts, and each opens the model once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from cloud_worker.architectures import model_sizes
from cloud_worker.forge.evaluate.decoder import Advance, Decoder, Forced, Said, no_progress

PART: Final = 256

Ids = Sequence[int]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Source:
    """A model that can be opened in any process: a directory with config.json and a graph, or with torch weights."""

    folder: Path
    graph: bool
    end: int

    @property
    def context_tokens(self) -> int:
        """The positions that the model has."""
        return model_sizes(self.folder).max_position_embeddings

    def open(self) -> Decoder:
        """The model in its runtime, on one thread."""
        if self.graph:
            from cloud_worker.forge.evaluate.onnx_rows import open_rows

            return open_rows(self.folder, self.end)
        import torch

        from cloud_worker.forge.evaluate.torch_batch import BatchGreedy
        from cloud_worker.forge.qwen2 import Qwen2

        torch.set_num_threads(1)
        return BatchGreedy(Qwen2.load(self.folder), self.end)


@cache
def _opened(source: Source) -> Decoder:
    return source.open()


def complete_part(source: Source, prompts: Sequence[Ids], limits: Sequence[int]) -> list[Said]:
    """Runs in a process of the pool."""
    return _opened(source).complete(prompts, limits)


def force_part(source: Source, prompts: Sequence[Ids], replies: Sequence[Ids]) -> list[Forced]:
    """Runs in a process of the pool."""
    return _opened(source).force(prompts, replies)


class Pooled:
    """The Decoder of a source, as many at once as `pool` has processes."""

    def __init__(self, pool: Executor, source: Source, part: int = PART) -> None:
        self._pool, self._source, self._part = pool, source, part
        self.end, self.context_tokens = source.end, source.context_tokens

    def complete(self, prompts: Sequence[Ids], limits: Sequence[int], advance: Advance = no_progress) -> list[Said]:
        """See Decoder."""
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]) + limits[i], i))

        def ask(places: Sequence[int]) -> Future[list[Said]]:
            return self._pool.submit(
                complete_part, self._source, [prompts[i] for i in places], [limits[i] for i in places]
            )

        return _gathered(_parts(order, self._part), ask, advance)

    def force(self, prompts: Sequence[Ids], replies: Sequence[Ids], advance: Advance = no_progress) -> list[Forced]:
        """See Decoder."""
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]) + len(replies[i]), i))

        def ask(places: Sequence[int]) -> Future[list[Forced]]:
            return self._pool.submit(
                force_part, self._source, [prompts[i] for i in places], [replies[i] for i in places]
            )

        return _gathered(_parts(order, self._part), ask, advance)


def _gathered(
    parts: Iterator[Sequence[int]], ask: Callable[[Sequence[int]], Future[list[Found]]], advance: Advance
) -> list[Found]:
    """What all parts found, by place."""
    running = {ask(places): places for places in parts}
    found: dict[int, Found] = {}
    for future in as_completed(running):
        found.update(zip(running[future], future.result(), strict=True))
        advance(len(running[future]))
    return [found[place] for place in sorted(found)]


def _parts(order: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """The longest first, so that no process is left with them at the end."""
    starts = range(0, len(order), size)
    return (order[start : start + size] for start in reversed(starts))
