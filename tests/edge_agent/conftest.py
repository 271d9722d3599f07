"""Shared by the edge agent's tests: a tiny model directory, made once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.wire.manifest import Manifest, load_manifest
from tests.edge_agent.tiny_model import write_tiny_model


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny-model")
    write_tiny_model(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_manifest(tiny_dir: Path) -> Manifest:
    return load_manifest(tiny_dir)
