"""Fast decoding says what plain decoding says: torch in batches, ONNX without leaving the runtime."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from cloud_worker.forge.decoding import OnnxGreedy, TorchGreedy
from cloud_worker.forge.evaluate import Decoder, open_decoder, prompt_ids
from cloud_worker.forge.evaluate.examining import sample
from cloud_worker.forge.evaluate.one_by_one import logprob
from cloud_worker.forge.evaluate.torch_batch import BatchGreedy, length_class
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.tokenizer import END, load
from tests.factories.models import TINY, tiny_model

HOME = Path(__file__).parents[4] / "reference_models"
PROMPTS = [[3, *range(40, 40 + length), END, 4] for length in (1, 5, 5, 17, 40, 2, 90)]
LIMITS = [12, 1, 30, 9, 20, 3, 15]
TOLERANCE = 2e-4
"""Largest difference of a log-probability between one row and a batch, and between decoding and one look."""


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_a_batch_says_what_each_prompt_gets_alone(rows: int) -> None:
    model = tiny_model()
    done: list[int] = []
    found = BatchGreedy(model, END, rows).complete(PROMPTS, LIMITS, done.append)
    plain = TorchGreedy(model)
    assert [list(said.ids) for said in found] == [plain.complete(p, n) for p, n in zip(PROMPTS, LIMITS, strict=True)]
    assert sum(done) == len(PROMPTS)


@torch.inference_mode()
def test_log_probabilities_are_those_of_a_whole_forward_pass() -> None:
    model = tiny_model()
    batch = BatchGreedy(model, END, 4)
    said = batch.complete(PROMPTS, LIMITS)
    views = batch.force(PROMPTS, [one.ids for one in said])
    for prompt, one, view in zip(PROMPTS, said, views, strict=True):
        ids = [*prompt, *one.ids, END]
        logits = model(torch.tensor([ids]), torch.arange(len(ids))[None])[0, len(prompt) - 1 : -1].log_softmax(-1)
        expected = [float(row[token]) for row, token in zip(logits, [*one.ids, END], strict=True)]
        assert view.logprobs == pytest.approx(expected, abs=TOLERANCE)
        assert one.logprobs == pytest.approx(expected[: len(one.logprobs)], abs=TOLERANCE)
        assert view.best[: len(one.ids)] == one.ids


def test_an_end_token_ends_a_row_and_is_counted() -> None:
    model = Qwen2(TINY).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.model.norm.weight.fill_(1.0)
        model.model.embed_tokens.weight[:, 0] = 1.0
        model.model.embed_tokens.weight[END, 0] = 2.0
    found = BatchGreedy(model, END).complete([[3, 5, 4], [3, 4]], [9, 9])
    assert [(said.ids, said.ended, len(said.logprobs)) for said in found] == [((), True, 1)] * 2


def test_a_log_probability_is_that_of_the_softmax() -> None:
    row = np.array([1.0, -2.0, 400.0, 399.0], np.float32)
    expected = torch.tensor(row.astype(np.float64)).log_softmax(-1)
    assert [logprob(row, token) for token in range(4)] == pytest.approx(expected.tolist())


def test_lengths_of_a_class_are_alike() -> None:
    assert length_class(0) == length_class(1)
    assert length_class(100) == length_class(110)
    assert length_class(100) != length_class(200)


@pytest.mark.parametrize("tier", ["edge", "cloud"])
def test_the_shipped_models_say_the_same_either_way(tier: str) -> None:
    folder = HOME / tier
    encoder = load(folder / "tokenizer.json")
    chosen = random.Random(4).sample([e for e in sample(1, False) if not e.long_context and len(e.answer) < 60], 12)
    prompts = [prompt_ids(encoder, exercise) for exercise in chosen]
    fast: Decoder = open_decoder(folder)
    slow = OnnxGreedy(folder) if tier == "edge" else TorchGreedy(Qwen2.load(folder))
    found = fast.complete(prompts, [40] * len(prompts))
    assert [list(said.ids) for said in found] == [slow.complete(prompt, 40) for prompt in prompts]
    views = fast.force(prompts, [said.ids for said in found])
    for said, view in zip(found, views, strict=True):
        assert view.best[: len(said.ids)] == said.ids
        assert view.logprobs[: len(said.logprobs)] == pytest.approx(said.logprobs, abs=2e-3)
