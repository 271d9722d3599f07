"""The benchmark of dropped rows: it steps as the engine does, with three rows for each policy beside the full cache."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from rich.progress import Progress
from tokenizers import Tokenizer

from benchmarks.context_policy import MODEL, PolicyRows, Task, measure, policies, tasks
from cloud_worker.forge.curriculum import Language
from cloud_worker.forge.curriculum.lookup import draw_lookup
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.context import ContextMode, ContextPolicy
from edge_agent.runtime.engine import EngineOptions
from edgewise.graphs import DecoderGraph
from tests.edge_agent.runtime.drive import answer, prompt_of, state


@pytest.fixture(scope="module")
def graph() -> DecoderGraph:
    return DecoderGraph.load(Path(MODEL) / "model.onnx")


def test_every_policy_has_its_rows_beside_the_full_cache(graph: DecoderGraph) -> None:
    numbers = random.Random(1)
    exercises = tuple(draw_lookup(numbers, Language.ENGLISH, 4, False) for _ in range(2))
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    made = measure(Task("look-up", exercises, (64,)), graph, tokenizer, 1024, Progress(disable=True))
    assert len(made) == 3 * len(list(policies((64,), 1024))) == 15
    caches = [each for each in made if each.metric == "cache"]
    assert caches[0].ratio == 1.0 and all(each.ratio == 65 / 1025 for each in caches[1:])
    perplexities = [each.ours for each in made if each.metric.startswith("perplexity")]
    assert all(each >= 1.0 for each in perplexities) and len(set(perplexities)) > 1


def test_the_benchmark_says_what_the_engine_says(graph: DecoderGraph) -> None:
    policy = ContextPolicy(full=64, keys=16, every=8, window_to=96)
    options = EngineOptions(context=ContextMode.WINDOWED, context_policy=policy)
    engine = OnnxEngine.load(MODEL, options)
    said = answer(engine, state(prompt_of(100), max_tokens=30, temperature=0.0))
    (ours,) = PolicyRows(graph, 1024, policy).complete([prompt_of(100)], [30])
    assert ours.ids == said[: len(ours.ids)] and len(ours.ids) > 5


def test_tasks_are_the_same_each_time() -> None:
    first, second = tasks(1), tasks(1)
    assert first == second and [len(task.exercises) for task in first] == [8, 4, 4]
