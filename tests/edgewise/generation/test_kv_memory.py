"""The KV formula: the worked examples of the literature, scales, and what the runtimes really allocate."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.forge.qwen2 import KVCache, Qwen2Config, block_bytes
from edgewise.generation.kv_memory import KV_ELEMENTS, KvElement, kv_bytes

GIB = 2**30


@pytest.mark.parametrize(
    ("kv_heads", "element", "gib"),
    [(32, "float16", 1.25), (8, "float16", 0.3125), (1, "float16", 0.0390625), (32, "float32", 2.5)],
)
def test_forty_layers_of_2048_tokens(kv_heads: int, element: str, gib: float) -> None:
    found = kv_bytes(layers=40, kv_heads=kv_heads, tokens=2048, head_dim=128, element=KV_ELEMENTS[element])
    assert found / GIB == gib


@pytest.mark.parametrize(("element", "row"), [("int8", 128 + 2), ("int4", 64 + 2), ("bfloat16", 256)])
def test_a_row_with_its_scales(element: str, row: int) -> None:
    assert KV_ELEMENTS[element].row_bytes(128) == row


def test_groups_each_have_a_scale_and_odd_nibbles_take_a_byte() -> None:
    assert KvElement(4, scale_bytes=2, group=32).row_bytes(65) == 33 + 3 * 2


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 9), st.sampled_from([torch.float32, torch.bfloat16]))
def test_the_engine_allocates_what_the_formula_says(layers: int, heads: int, tokens: int, dtype: torch.dtype) -> None:
    config = Qwen2Config(8, 16 * heads, 8, layers, heads, heads)
    cache = KVCache(config, tokens, dtype)
    assert block_bytes(cache.keys) == cache.keys.nbytes + cache.values.nbytes


@pytest.mark.parametrize("wrong", [{"tokens": -1}, {"layers": 0}, {"head_dim": 0}, {"element": KvElement(0)}])
def test_sizes_that_cannot_be(wrong: dict[str, int | KvElement]) -> None:
    sizes: dict[str, int | KvElement] = {"layers": 1, "kv_heads": 1, "tokens": 1, "head_dim": 1}
    with pytest.raises(ValueError, match="kv_bytes"):
        kv_bytes(**({"element": KV_ELEMENTS["int8"]} | sizes | wrong))  # type: ignore[arg-type]
