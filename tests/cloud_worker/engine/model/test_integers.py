"""Integer weights: how far they are from the stored ones, that rows know nothing of each other, and wrong machines."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cloud_worker.engine.exactness import BLOCKS_NEEDED, keeps_bits, kernels_digest
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.model.integers import GROUP, Int4Linear, Int8Linear, by_groups, by_rows
from cloud_worker.engine.model.linear import AS_STORED, KINDS, make_linear
from cloud_worker.engine.model.products import KERNELS, MOST, Product, is_whole, new_product
from cloud_worker.engine.model.weights import random_weights
from edgewise.wire.errors import ConfigError
from tests.cloud_worker.engine.model.stepping import config_of, play, read_plainly, sequence, wild_decoder

WHOLE = pytest.mark.skipif(not any(map(is_whole, KERNELS)), reason="this processor has no 8-bit dot products")
ROUNDED = [pytest.param(kind, marks=() if kind == "int4" else WHOLE) for kind in KINDS if kind != AS_STORED]
SHAPES = {
    "tiny": config_of(num_key_value_heads=1, tie_word_embeddings=True),
    "half-b": config_of(
        model_type="qwen2", vocab_size=999, hidden_size=896, intermediate_size=4864, num_attention_heads=14,
        num_hidden_layers=1,
    ),
}  # fmt: skip
BLOCKS = 16


def numbers(*sizes: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.empty(sizes).normal_(0, scale, generator=torch.Generator().manual_seed(seed))


def matrices(most: int = 40) -> st.SearchStrategy[Tensor]:
    """Of any shape and size of values, some rows of zeros among them."""

    def made(outputs: int, inputs: int, scale: float, seed: int) -> Tensor:
        found = numbers(outputs, inputs, seed=seed, scale=scale)
        found[seed % outputs] *= seed % 3
        return found

    return st.builds(
        made, st.integers(1, most), st.integers(1, most), st.sampled_from((1e-20, 0.02, 30.0)), st.integers(0, 999)
    )


@given(weight=matrices())
def test_eight_bits_are_half_a_step_off_at_most(weight: Tensor) -> None:
    before = weight.clone()
    levels, scales = by_rows(weight)
    assert torch.equal(weight, before)
    assert levels.abs().max() <= MOST
    off = (levels.double() * scales.double()[:, None] - weight.double()).abs()
    assert (off <= 0.5001 * scales.double()[:, None]).all()


@given(weight=matrices(), groups=st.integers(1, 3))
def test_four_bits_are_half_a_step_off_at_most(weight: Tensor, groups: int) -> None:
    weight = numbers(len(weight), groups * GROUP, seed=groups) * weight[:, :1]
    levels, grid = by_groups(weight)
    assert levels.min() >= 0
    assert levels.max() <= 15
    scale, middle = (grid.transpose(0, 1)[..., place].double().repeat_interleave(GROUP, 1) for place in (0, 1))
    off = ((levels.double() - 8) * scale + middle - weight.double()).abs()
    assert (off <= 0.5001 * scale + 1e-30).all()


@WHOLE
@pytest.mark.parametrize("kernel", KERNELS, ids=("fbgemm", "onednn"))
@given(data=st.data())
def test_every_kernel_gives_the_bits_of_whole_sums(kernel: type[Product], data: st.DataObject) -> None:
    rows, outputs, inputs = (data.draw(st.integers(1, 70)) for _ in range(3))
    source = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    levels = torch.randint(-MOST, MOST + 1, (outputs, inputs), generator=source, dtype=torch.int8)
    x = torch.randint(-MOST, MOST + 1, (rows, inputs), generator=source)
    scales = numbers(outputs, seed=1).abs()
    wanted = (x @ levels.t().long()).float() * scales
    assert torch.equal(kernel(levels, scales)(x.float()), wanted)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", ROUNDED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@settings(max_examples=20)
@given(rows=st.integers(1, 70), outputs=st.integers(1, 70), inputs=st.sampled_from((32, 40, 96, 896)), data=st.data())
def test_a_row_knows_no_other(
    kind: str, dtype: torch.dtype, rows: int, outputs: int, inputs: int, data: st.DataObject
) -> None:
    layer = make_linear(numbers(outputs, inputs).to(dtype), numbers(outputs).to(dtype), kind)
    x = (numbers(rows, inputs, seed=1) * 10.0 ** torch.randint(-20, 5, (rows, 1))).to(dtype)
    whole, before = layer(x), x.clone()
    first = data.draw(st.integers(0, rows - 1))
    last = data.draw(st.integers(first + 1, rows))
    assert torch.equal(layer(x[first:last]), whole[first:last])
    assert torch.equal(x, before)
    assert whole.shape == (rows, outputs)
    assert whole.dtype == dtype


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        pytest.param("int8", 0.009, marks=WHOLE, id="int8"),
        pytest.param("int8-dynamic", 0.013, marks=WHOLE, id="int8-dynamic"),
        pytest.param("int4", 0.08, id="int4"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_are_near_those_of_the_stored_weight(kind: str, most: float, dtype: torch.dtype) -> None:
    weight, bias, x = numbers(100, 896, scale=0.03).to(dtype), numbers(100).to(dtype), numbers(9, 896, seed=2).to(dtype)
    wanted = x.double() @ weight.double().t() + bias.double()
    layer = make_linear(weight, bias, kind)
    off = (layer(x).double() - wanted).norm() / (wanted - bias.double()).norm()
    assert off < most
    assert layer.size_bytes < weight.numel() * (1.1 if kind != "int4" else 0.9)


@WHOLE
def test_activations_of_two_bytes_are_finer_than_bfloat16() -> None:
    """Only the weight is rounded: beside the product of the rounded weight hardly anything is left."""
    weight, x = numbers(64, 896), numbers(9, 896, seed=3)
    levels, scales = by_rows(weight)
    wanted = x.double() @ (levels.double() * scales.double()[:, None]).t()
    fine, narrow = (Int8Linear(weight, two_bytes=two)(x).double() for two in (True, False))
    plain = x.bfloat16().double() @ (levels.double() * scales.double()[:, None]).t()
    assert (fine - wanted).norm() < 0.1 * (plain - wanted).norm() < 0.1 * (narrow - wanted).norm()


@pytest.mark.parametrize("kind", ROUNDED)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_stay_in_their_row(kind: str, bad: float) -> None:
    layer, x = make_linear(numbers(48, 64), None, kind), numbers(5, 64, seed=1)
    good = layer(x)
    x[2, 7] = bad
    found = layer(x)
    assert not found[2].isfinite().any()
    assert torch.equal(found[[0, 1, 3, 4]], good[[0, 1, 3, 4]])


@pytest.mark.parametrize("kind", ROUNDED)
def test_rows_of_zeros_give_the_bias(kind: str) -> None:
    bias = numbers(48)
    assert torch.equal(make_linear(numbers(48, 64), bias, kind)(torch.zeros(3, 64)), bias.expand(3, -1))


@WHOLE
def test_a_matrix_without_whole_groups_takes_eight_bits() -> None:
    assert isinstance(make_linear(numbers(16, GROUP), None, "int4"), Int4Linear)
    assert isinstance(make_linear(numbers(16, GROUP + 1), None, "int4"), Int8Linear)


@cache
def decoder_of(shape: str, precision: str, kind: str) -> Decoder:
    return wild_decoder(SHAPES[shape], precision, BLOCKS, kind=kind)


@cache
def alone(shape: str, precision: str, kind: str, prompt: int, said: int, seed: int) -> Tensor:
    decoder = decoder_of(shape, precision, kind)
    return read_plainly(decoder, sequence(prompt, said, decoder.config.sizes.vocab_size, seed))


@pytest.mark.parametrize("kind", ROUNDED)
@pytest.mark.parametrize(("shape", "precision"), [("tiny", "float32"), ("tiny", "bfloat16"), ("half-b", "bfloat16")])
@settings(max_examples=3)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 90), st.integers(0, 6)), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_every_way_of_reading_gives_the_same_bits(
    shape: str, precision: str, kind: str, sizes: list[tuple[int, int]], seed: int
) -> None:
    expected = [alone(shape, precision, kind, *size, number) for number, size in enumerate(sizes)]
    decoder = decoder_of(shape, precision, kind)
    blocks = random.Random(seed).sample(range(BLOCKS), BLOCKS)
    texts = []
    for number, size in enumerate(sizes):
        table = [blocks.pop() for _ in range(-(-sum(size) // 32))]
        texts.append(sequence(*size, decoder.config.sizes.vocab_size, number, table))
    for found, wanted in zip(play(decoder, texts, random.Random(seed)), expected, strict=True):
        assert torch.equal(found, wanted)
        assert torch.equal(decoder.logits(found)[:1], decoder.logits(wanted[:1]))


@pytest.mark.parametrize("kind", ROUNDED)
def test_the_look_at_start_covers_them(kind: str) -> None:
    decoder = Decoder(SHAPES["tiny"], random_weights(SHAPES["tiny"], "bfloat16", kind=kind), BLOCKS_NEEDED)
    assert keeps_bits(decoder)
    assert kernels_digest(torch.bfloat16, kind) != kernels_digest(torch.bfloat16)


@pytest.mark.soak
def test_a_machine_without_dot_products_refuses_eight_bits() -> None:
    """oneDNN and FBGEMM told to do without VNNI cut pairs of products at 16 bits; the look at them says so."""
    code = (
        "import torch\n"
        "from cloud_worker.engine.model.products import KERNELS, is_whole\n"
        "print([is_whole(kernel) for kernel in KERNELS])"
    )
    told = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2"}
    done = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[False, False]"


def test_a_wrong_kernel_is_not_taken() -> None:
    class Wrong:
        def __init__(self, levels: Tensor, scales: Tensor) -> None:
            self.levels, self.scales = levels, scales

        def __call__(self, x: Tensor) -> Tensor:
            return (x @ self.levels.float().t()).clamp(-(2**20), 2**20) * self.scales

    assert not is_whole(Wrong)
    levels, scales = by_rows(numbers(8, 8))
    with pytest.raises(ConfigError, match="not whole sums") as caught:
        new_product(levels, scales, (Wrong,))
    assert caught.value.remedy == "choose int4 or as-stored"
