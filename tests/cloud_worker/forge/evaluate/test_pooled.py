"""A model in several processes says what it says in one, in the order of the prompts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from cloud_worker.forge.evaluate import Decoder
from cloud_worker.forge.evaluate.pooled import Pooled, Source
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.tokenizer import END
from cloud_worker.forge.training.optimise import initialise
from cloud_worker.forge.workers import worker_pool
from tests.factories.forge import SHAPE


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("model")
    model = Qwen2(SHAPE)
    initialise(model, 3)
    model.save(folder)
    return Source(folder, graph=False, end=END)


@pytest.fixture
def threads() -> Iterator[Executor]:
    """A pool without processes."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def prompts() -> list[list[int]]:
    rng = random.Random(1)
    return [[rng.randrange(5, SHAPE.vocab_size) for _ in range(rng.randrange(1, 20))] for _ in range(11)]


def assert_alike(one: Decoder, other: Decoder) -> None:
    asked, limits, done = prompts(), [3 + place % 4 for place in range(11)], list[int]()
    said = one.complete(asked, limits, done.append)
    assert sum(done) == len(asked)
    assert [reply.ids for reply in said] == [reply.ids for reply in other.complete(asked, limits)]
    replies = [reply.ids for reply in said]
    seen = [view.best for view in one.force(asked, replies)]
    assert seen == [view.best for view in other.force(asked, replies)]
    assert (one.end, one.context_tokens) == (other.end, other.context_tokens)


def test_parts_are_put_together_in_order(source: Source, threads: Executor) -> None:
    assert_alike(Pooled(threads, source, part=4), source.open())


def test_nothing_asked_is_nothing_said(source: Source, threads: Executor) -> None:
    assert Pooled(threads, source).complete([], []) == []


@pytest.mark.soak
def test_processes_say_the_same(source: Source) -> None:
    with worker_pool(2) as pool:
        assert_alike(Pooled(pool, source, part=4), source.open())


def test_a_missing_model_is_said_at_once(tmp_path: Path, threads: Executor) -> None:
    with pytest.raises(Exception, match=r"config\.json"):
        Pooled(threads, Source(tmp_path, graph=False, end=END))
