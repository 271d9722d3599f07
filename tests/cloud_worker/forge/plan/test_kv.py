"""The KV planner: the worked example, budgets, models, bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_worker.architectures import model_sizes
from cloud_worker.forge.plan.inputs import PlanInputError
from cloud_worker.forge.plan.kv import KvShape, bytes_per_token, plan_kv

ROOT = Path(__file__).parents[4]
GIB = 2**30
WHOLE = KvShape(layers=40, kv_heads=32, head_dim=128)
GROUPED = KvShape(layers=40, kv_heads=8, head_dim=128)


@pytest.mark.parametrize(("shape", "gib"), [(WHOLE, 1.25), (GROUPED, 0.3125)])
def test_the_worked_example(shape: KvShape, gib: float) -> None:
    found = {row.element: row.bytes / GIB for row in plan_kv(shape, 2048).rows}
    assert found["float16"] == found["bfloat16"] == gib
    assert found["float32"] == 2 * gib


def test_integer_caches_count_their_scales() -> None:
    assert bytes_per_token(GROUPED, "int8") == 2 * 40 * 8 * (128 + 2)
    assert bytes_per_token(GROUPED, "int4") == 2 * 40 * 8 * (64 + 2)


def test_what_a_budget_holds() -> None:
    row = plan_kv(GROUPED, 2048, sequences=4, budget_bytes=GIB, elements=("float16",)).rows[0]
    assert (row.bytes, row.tokens_in_budget, row.sequences_in_budget) == (int(1.25 * GIB), 6553, 3)


def test_the_shape_of_a_model() -> None:
    shape = KvShape.of(model_sizes(ROOT / "reference_models" / "cloud"))
    assert (shape.kv_heads, shape.head_dim) == (2, 64)


@pytest.mark.parametrize(
    ("shape", "tokens", "sequences", "budget", "where"),
    [
        (KvShape(layers=0, kv_heads=1, head_dim=1), 1, 1, None, "layers"),
        (WHOLE, 0, 1, None, "tokens"),
        (WHOLE, 10**400, 1, None, "tokens"),
        (WHOLE, 1, -1, None, "sequences"),
        (WHOLE, 1, 1, 0, "budget"),
    ],
)
def test_bad_input(shape: KvShape, tokens: int, sequences: int, budget: int | None, where: str) -> None:
    with pytest.raises(PlanInputError) as caught:
        plan_kv(shape, tokens, sequences, budget)
    assert caught.value.where == where


def test_an_unknown_element_lists_the_known_ones() -> None:
    with pytest.raises(PlanInputError) as caught:
        plan_kv(WHOLE, 1, elements=("fp8",))
    assert "float16" in caught.value.expected
