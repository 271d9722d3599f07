"""The cloud engine sits examinations as the plain torch module does."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_worker.engine.model.linear import AS_STORED
from cloud_worker.forge.evaluate import prompt_ids
from cloud_worker.forge.evaluate.engine_rows import EngineRows
from cloud_worker.forge.evaluate.examining import sample
from cloud_worker.forge.evaluate.torch_batch import BatchGreedy
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.tokenizer import END, load

HOME = Path(__file__).parents[4] / "reference_models" / "cloud"


def test_it_says_what_the_torch_module_says() -> None:
    """More prompts than a batch has, one of them with no room for an answer."""
    encoder = load(HOME / "tokenizer.json")
    prompts = [prompt_ids(encoder, exercise) for exercise in sample(1, False)[::31]]
    limits = [5 + number % 4 for number in range(len(prompts))]
    limits[3] = 0
    engine, plain = EngineRows.load(HOME, END, "float32", AS_STORED, rows=5), BatchGreedy(Qwen2.load(HOME), END)
    counted: list[int] = []
    said = engine.complete(prompts, limits, counted.append)
    expected = plain.complete(prompts, limits)
    assert [(one.ids, one.ended) for one in said] == [(one.ids, one.ended) for one in expected]
    assert sum(counted) == len(prompts) > 5
    for one, other in zip(said, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=2e-3)
    replies = [one.ids for one in said]
    views = zip(engine.force(prompts, replies), plain.force(prompts, replies), strict=True)
    for view, expected_view in views:
        assert view.best == expected_view.best
        assert view.logprobs == pytest.approx(expected_view.logprobs, abs=2e-3)


def test_its_matrices_are_counted_as_they_are_multiplied() -> None:
    stored, rounded = (
        EngineRows.load(HOME, END, "bfloat16", kind, rows=1).weight_bytes for kind in (AS_STORED, "int4")
    )
    assert 0.3 * stored < rounded < 0.33 * stored
