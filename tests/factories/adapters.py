"""Adapters of random values for the tiny model of the edge agent's tests, as files that a device loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewise.graphs.adapter_file import write_adapter
from edgewise.wire.manifest import Manifest
from tests.edge_agent.tiny_model import FFN, HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS

WIDTHS = {
    "q_proj": (HIDDEN, HEADS * HEAD_DIM),
    "k_proj": (HIDDEN, KV_HEADS * HEAD_DIM),
    "v_proj": (HIDDEN, KV_HEADS * HEAD_DIM),
    "o_proj": (HEADS * HEAD_DIM, HIDDEN),
    "gate_proj": (HIDDEN, FFN),
    "up_proj": (HIDDEN, FFN),
    "down_proj": (FFN, HIDDEN),
}
"""Inputs and outputs of the tiny model's modules."""


def random_matrices(
    seed: int, *, rank: int = 4, strength: float = 1.0, modules: tuple[str, ...] = tuple(WIDTHS)
) -> dict[str, NDArray[np.float32]]:
    """Both matrices of every layer and module; strength 0 adds nothing to any output."""
    numbers = np.random.default_rng(seed)
    made: dict[str, NDArray[np.float32]] = {}
    for layer in range(LAYERS):
        for module in modules:
            inputs, outputs = WIDTHS[module]
            low, high = numbers.standard_normal((inputs, rank)), numbers.standard_normal((rank, outputs))
            made[f"{layer}.{module}.a"] = (low * inputs**-0.5).astype(np.float32)
            made[f"{layer}.{module}.b"] = (high * strength * rank**-0.5).astype(np.float32)
    return made


def write_random_adapter(path: Path, manifest: Manifest, seed: int, *, rank: int = 4, strength: float = 1.0) -> Path:
    """An adapter of a tiny model."""
    matrices = random_matrices(seed, rank=rank, strength=strength)
    write_adapter(path, base=manifest.id, base_name=manifest.name, matrices=matrices)
    return path
