"""The gate: what a value becomes does not depend on how many rows there are, nor on the threads that share them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from cloud_worker.engine.model.gate import gated

PRECISIONS = (torch.float32, torch.bfloat16)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def numbers(rows: int, width: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(rows, 2 * width, generator=torch.Generator().manual_seed(rows)).mul_(3).to(dtype)


def alone(x: Tensor) -> Tensor:
    return torch.cat([gated(row.clone()) for row in torch.split(x, 1)])


@pytest.mark.parametrize("dtype", PRECISIONS)
@settings(max_examples=25)
@given(
    threads=st.integers(1, 12),
    rows=st.integers(1, 70),
    width=st.sampled_from((7, 896, 4864, 8960, 11008, 18944, 32768)),
)
def test_a_row_has_its_bits_in_any_company(dtype: torch.dtype, threads: int, rows: int, width: int) -> None:
    torch.set_num_threads(threads)
    x = numbers(rows, width, dtype)
    assert torch.equal(gated(x.clone()), alone(x))


@pytest.mark.parametrize("threads", [3, 4])
@pytest.mark.parametrize("width", [4864, 18944, 40016])
def test_float32_by_several_threads(threads: int, width: int) -> None:
    """The sizes at which torch's own call gave a row other bits; rows that are too long for one share among them."""
    torch.set_num_threads(threads)
    x = numbers(64, width, torch.float32)
    assert torch.equal(gated(x.clone()), alone(x))


def test_it_is_the_silu_of_the_one_half_times_the_other() -> None:
    x = numbers(9, 33, torch.float32)
    gate, up = x.clone().chunk(2, dim=-1)
    torch.testing.assert_close(gated(x), functional.silu(gate) * up)
