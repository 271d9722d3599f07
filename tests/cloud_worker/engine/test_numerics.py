"""The numerics id moves with everything that may move a logit, and with nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from cloud_worker.engine.numerics import EngineOptions, numerics_id
from edgewise.wire.errors import ConfigError

OPTIONS = EngineOptions()


@pytest.mark.parametrize("change", [{"precision": "bfloat16"}, {"chunk_tokens": 64}])
def test_what_changes_bits_changes_the_name(change: dict[str, Any]) -> None:
    assert numerics_id(replace(OPTIONS, **change)) != numerics_id(OPTIONS)


@pytest.mark.parametrize("change", [{"slots": 3}, {"max_queue": 1}, {"max_rows": 32}])
def test_what_changes_no_bits_keeps_the_name(change: dict[str, Any]) -> None:
    assert numerics_id(replace(OPTIONS, **change)) == numerics_id(OPTIONS)


@pytest.mark.parametrize(("rows", "padded"), [(1, 4), (4, 4), (5, 8), (64, 64)])
def test_rows_on_the_cpu_come_in_fours(rows: int, padded: int) -> None:
    assert OPTIONS.padded_rows(rows) == padded


def test_rows_elsewhere_have_one_number() -> None:
    assert {replace(OPTIONS, device="cuda").padded_rows(rows) for rows in (1, 7, 64)} == {64}


@pytest.mark.parametrize(
    "bad", [{"slots": 0}, {"slots": 65}, {"chunk_tokens": 0}, {"max_rows": 7, "slots": 1}, {"precision": "int8"}]
)
def test_sizes_that_do_not_fit_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        EngineOptions(**bad)
