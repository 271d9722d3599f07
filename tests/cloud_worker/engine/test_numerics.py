"""The numerics id moves with everything that may move a logit, and with nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from cloud_worker.engine.numerics import EngineOptions, numerics_id
from edgewise.wire.errors import ConfigError

OPTIONS = EngineOptions()


@pytest.mark.parametrize("change", [{"precision": "bfloat16"}, {"weights": "int8"}, {"weights": "int8-dynamic"}])
def test_what_changes_bits_changes_the_name(change: dict[str, Any]) -> None:
    assert numerics_id(replace(OPTIONS, **change)) != numerics_id(OPTIONS)


def test_rounded_weights_are_named() -> None:
    assert "-int8-dynamic-" in numerics_id(replace(OPTIONS, weights="int8-dynamic"))
    assert "-bfloat16-int4-" in numerics_id(replace(OPTIONS, precision="bfloat16", weights="int4"))


@pytest.mark.parametrize("change", [{"slots": 3}, {"step_tokens": 64}, {"speculation": "off"}, {"kv_cache_mb": 9}])
def test_what_changes_no_bits_keeps_the_name(change: dict[str, Any]) -> None:
    assert numerics_id(replace(OPTIONS, **change)) == numerics_id(OPTIONS)


def test_a_machine_that_does_not_keep_bits_promises_nothing() -> None:
    assert numerics_id(OPTIONS, exact=False) == f"{numerics_id(OPTIONS)}/inexact"


@pytest.mark.parametrize(
    "bad",
    [
        {"slots": 0},
        {"slots": 240},
        {"step_tokens": 32},
        {"queue_tokens": 0},
        {"kv_cache_mb": 0},
        {"precision": "int8"},
        {"weights": "int3"},
        {"weights": "int4", "precision": "float32"},
        {"weights": "int8", "device": "cuda"},
        {"speculation": "on"},
    ],
)
def test_sizes_that_do_not_fit_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        EngineOptions(**bad)
