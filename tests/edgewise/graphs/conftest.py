"""Graphs for the tests of this room: a tiny random one, and the reference edge model."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.graphs import DecoderGraph
from tests.edge_agent.tiny_model import write_tiny_model

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny-model")
    write_tiny_model(directory, hidden_states=True)
    return directory


@pytest.fixture(scope="module", params=["tiny", "reference"])
def graph(request: pytest.FixtureRequest, tiny_dir: Path) -> DecoderGraph:
    directory = tiny_dir if request.param == "tiny" else ROOT / "reference_models" / "edge"
    return DecoderGraph.load(directory / "model.onnx")
