"""One small Qwen2 directory and its float graph, built once in a test run: the builder takes seconds to start."""

from __future__ import annotations

import pytest

from cloud_worker.architectures import model_sizes
from cloud_worker.forge.export.precision import float_graph
from cloud_worker.forge.quantize.methods.base import FloatModel
from tests.factories.hub import write_hub_model


@pytest.fixture(scope="session")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> FloatModel:
    """A random model of two layers as methods get it."""
    place = tmp_path_factory.mktemp("float-model")
    directory = write_hub_model(place / "hub")
    tokenizer_file = directory / "tokenizer.json"
    graph = float_graph(directory, tokenizer_file, place / "graphs")
    return FloatModel(directory, tokenizer_file, graph, model_sizes(directory), place / "work")
