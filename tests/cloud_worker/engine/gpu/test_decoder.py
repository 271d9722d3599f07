"""GpuDecoder in the interpreter: the CPU's model by other kernels, and a token's bits its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.gpu.batch import FAST, Kind, Sizes
from cloud_worker.engine.gpu.decoder import GpuDecoder
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.numerics import EngineOptions
from cloud_worker.engine.work import Segment
from edgewise.generation.state import Sampling
from tests.cloud_worker.engine.model.stepping import config_of, play, read_plainly, sequence, wild_decoder
from tests.factories.models import tiny_manifest
from tests.factories.states import make_state

SMALL = Sizes(prompt=64, rows=8)
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2-window": {
        "model_type": "qwen2", "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 24,
        "use_sliding_window": True, "sliding_window": 40, "max_window_layers": 0,
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": True},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def pair(shape: str, precision: str = "float32", sizes: Sizes = SMALL, **changes: Any) -> tuple[Decoder, GpuDecoder]:
    """The CPU's decoder and one of the same weights by our kernels."""
    config = config_of(**(SHAPES[shape] | {"num_hidden_layers": 1} | changes))
    cpu = wild_decoder(config, precision, 16)
    return cpu, GpuDecoder(config, cpu.weights, 16, 160, sizes)


@pytest.mark.parametrize(("shape", "precision"), [(s, "float32") for s in SHAPES] + [("llama", "bfloat16")])
def test_it_computes_what_the_cpu_computes(shape: str, precision: str) -> None:
    cpu, gpu = pair(shape, precision)
    text = sequence(70, 4, 100, blocks=(9, 3, 14))
    segments = [text.prompt_segment(0, 70, 70), text.rows_segment(0, 4, 4)]
    expected, found = read_plainly(cpu, text), gpu.forward(segments)
    tolerance = 3e-5 if precision == "float32" else 0.15
    assert torch.allclose(found.float(), expected.float(), rtol=0, atol=tolerance)
    logits = gpu.logits(found)
    assert logits.dtype == torch.float32 and torch.allclose(logits, cpu.logits(expected), rtol=0, atol=3 * tolerance)
    assert gpu.logits(found[:0]).shape == (0, 100)


def test_bits_stay_in_any_company_where_sizes_are_fixed() -> None:
    _, gpu = pair("qwen2-window")
    texts = [sequence(40, 2, 100, 1, (9, 3)), sequence(33, 5, 100, 2, (5, 6))]
    together = play(gpu, texts, random.Random(3))
    assert torch.equal(read_plainly(gpu, texts[0]), together[0])


def test_a_step_of_more_rows_than_a_call_holds_is_several_calls() -> None:
    _, gpu = pair("llama", sizes=Sizes(prompt=32, rows=4))
    _, wide = pair("llama", sizes=FAST)
    text = sequence(40, 5, 100, blocks=(9, 3))
    segments = [text.prompt_segment(0, 40, 9), text.rows_segment(0, 5, 5)]
    assert torch.allclose(gpu.forward(segments), wide.forward(segments), rtol=0, atol=3e-5)


def test_a_captured_call_reads_the_inputs_of_the_next() -> None:
    """A graph replays what it saw first, over the tensors that lay there: the first closure stands in for it here."""
    captured = dict[int, Callable[[], Tensor]]()

    def replay(rows: int, compute: Callable[[], Tensor]) -> Tensor:
        return captured.setdefault(rows, compute)()

    cpu, plain = pair("llama")
    graphs = GpuDecoder(cpu.config, cpu.weights, 16, 160, SMALL, replay)
    for first in (0, 2):
        texts = [sequence(9 + first, 3, 100, seed, (seed, 8 + seed)) for seed in range(first, first + 2)]
        prompts = [text.prompt_segment(0, len(text.prompt), 1) for text in texts]
        rows = [text.rows_segment(0, 1 + n, 1) for n, text in enumerate(texts)]
        for segments in (prompts, rows):
            assert torch.equal(graphs.forward(segments), plain.forward(segments))
    assert list(captured) == [SMALL.padded(Kind.ROWS, 1)]


def test_padding_touches_no_block_that_somebody_owns() -> None:
    _, gpu = pair("llama")
    before = gpu.kv.layer(0).clone()
    gpu.forward([Segment("r", [7], 3, (5,), False, 1)])
    changed = (gpu.kv.layer(0) != before).flatten(1).any(1).nonzero()[:, 0].tolist()
    assert changed == [7 * 32 + 3, gpu.kv.padding_slot]


def test_a_block_is_copied_in_every_layer() -> None:
    _, gpu = pair("llama", num_hidden_layers=2)
    gpu.forward([Segment("r", [7], 0, tuple(range(20)), True)])
    gpu.kv.copy_block(7, 2, 5)
    for layer in range(2):
        arena = gpu.kv.layer(layer)
        assert torch.equal(arena[64:69], arena[224:229]) and not arena[69:96].any()


def test_an_engine_answers_with_it_as_alone() -> None:
    """The same tokens with and without company, drafts of nobody; those of the CPU's engine, too, but for rounding."""
    _, gpu = pair("llama")
    options = EngineOptions(slots=3, step_tokens=96, speculation="off")

    def answers(seeds: tuple[int, ...]) -> dict[str, list[int]]:
        engine = TorchEngine(gpu, tiny_manifest(96), options)
        for seed in seeds:
            ids = sequence(14 + 9 * seed, 0, 100, seed).prompt
            asked = make_state(prompt_ids=ids, max_tokens=3, seed=seed, sampling=Sampling(temperature=0.8))
            engine.submit(str(seed), asked)
        said: dict[str, list[int]] = {}
        while engine.stats().running + engine.stats().queued:
            for output in engine.step():
                said.setdefault(output.attempt, []).extend(output.ids)
        engine.check_integrity()
        return said

    together = answers((1, 2))
    assert [len(ids) for ids in together.values()] == [3, 3]
    assert together["2"] == answers((2,))["2"]
