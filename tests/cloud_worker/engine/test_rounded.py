"""Engines with rounded weights: loaded from a directory, named, and sure of their bits in any company."""

from pathlib import Path

import pytest

from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.loader import load_engine
from cloud_worker.engine.model.products import KERNELS, is_whole
from cloud_worker.engine.numerics import EngineOptions, WeightKind
from tests.factories.models import write_tiny_model
from tests.factories.states import make_state

WHOLE = pytest.mark.skipif(not any(map(is_whole, KERNELS)), reason="this processor has no 8-bit dot products")
KINDS = [pytest.param(kind, marks=() if kind == "int4" else WHOLE) for kind in ("int8", "int8-dynamic", "int4")]


def answers(engine: TorchEngine, seeds: range) -> dict[str, list[int]]:
    for seed in seeds:
        prompt = tuple(5 + (seed + place) % 30 for place in range(3 + 11 * (seed % 4)))
        engine.submit(str(seed), make_state(prompt_ids=prompt, max_tokens=8, seed=seed))
    found: dict[str, list[int]] = {}
    while engine.stats().running + engine.stats().queued:
        for output in engine.step():
            assert output.error is None
            found.setdefault(output.attempt, []).extend(output.ids)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_crowd_is_told_what_each_is_told_alone(tmp_path: Path, kind: WeightKind) -> None:
    write_tiny_model(tmp_path)
    engine = load_engine(tmp_path, EngineOptions(precision="bfloat16", weights=kind, slots=4))
    assert f"-{kind}-" in engine.numerics_id
    assert not engine.numerics_id.endswith("/inexact")
    crowd = answers(engine, range(7))
    assert len(crowd) == 7
    for seed in range(7):
        assert answers(engine, range(seed, seed + 1)) == {str(seed): crowd[str(seed)]}
