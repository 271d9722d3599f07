"""The phone planner: 1.5 billion int4 weights on 4 GB with true figures, models, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloud_worker.architectures import model_sizes
from cloud_worker.forge.plan.inputs import PlanInputError
from cloud_worker.forge.plan.phone import Phone, Weights, plan_phone

ROOT = Path(__file__).parents[4]
BILLION = Weights(parameters=1_500_000_000)


def test_the_profile_of_a_4_gb_phone() -> None:
    plan = plan_phone(BILLION, Phone())
    assert plan.bits_mb == 750.0
    assert plan.scales_mb == 93.75
    assert (plan.kv_mb, plan.activations_mb) == (256.0, 128.0)
    assert plan.peak_mb == 750 + 93.75 + 256 + 128 + 100 + 1500
    assert plan.fits and plan.peak_mb < 3800


def test_the_figure_that_is_two_bits_is_called_so() -> None:
    plan = plan_phone(BILLION, Phone())
    assert plan.two_bit_mb == 375.0
    assert "750 MB before their scales" in plan.note and "375 MB would be 2-bit" in plan.note


def test_what_does_not_fit_is_said_with_how_much() -> None:
    plan = plan_phone(Weights(parameters=1_500_000_000, precision="float16"), Phone())
    assert not plan.fits and plan.left_mb == 3800 - (3000 + 256 + 128 + 100 + 1500)


def test_a_model_tells_how_many_tokens_the_cache_holds() -> None:
    sizes = model_sizes(ROOT / "reference_models" / "edge")
    whole = Weights.of(sizes, "int4", "int4", "float16")
    assert whole.parameters + whole.ends_parameters == sizes.parameters
    shape = whole.kv
    assert shape is not None
    assert plan_phone(whole, Phone()).kv_tokens == 256_000_000 // (2 * shape.layers * shape.head_dim * 2)
    finer = plan_phone(Weights.of(sizes, "int4", "float16", "int8"), Phone())
    assert finer.bits_mb > plan_phone(whole, Phone()).bits_mb


@pytest.mark.parametrize(
    "wrong",
    [
        {"parameters": 0},
        {"precision": "int3"},
        {"ends_precision": "x"},
        {"ends_parameters": -1},
        {"parameters": 10**30},
    ],
)
def test_bad_weights(wrong: dict[str, Any]) -> None:
    with pytest.raises(PlanInputError):
        plan_phone(Weights(**({"parameters": 5} | wrong)), Phone())


@pytest.mark.parametrize(
    "wrong", [{"device_mb": 0}, {"peak_mb": 5000}, {"kv_mb": -1}, {"system_mb": float("nan")}, {"runtime_mb": 1e30}]
)
def test_bad_phones(wrong: dict[str, float]) -> None:
    with pytest.raises(PlanInputError):
        plan_phone(BILLION, Phone(**wrong))
