"""First weights, the learning rate of a step, and the two optimizers. Nothing here knows data or files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import nn

from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.recipes import ModelRecipe
from cloud_worker.forge.training.team import is_matrix

WARM_UP: Final = 0.02
FLAT: Final = 0.3
FLOOR: Final = 0.01


def rate(step: int, steps: int) -> float:
    """Learning rate as a share of its peak: linear warm-up, flat to FLAT of the run, then linear to FLOOR."""
    progress = step / steps
    if progress < WARM_UP:
        return (step + 1) / max(1.0, WARM_UP * steps)
    return max(FLOOR, min(1.0, (1 - progress) / (1 - FLAT)))


def optimizers(named: Sequence[tuple[str, nn.Parameter]], recipe: ModelRecipe) -> list[torch.optim.Optimizer]:
    """Muon (Jordan, 2024) for the matrices of the layers, AdamW for embedding, norms, biases and projections.

    A group without parameters has no optimizer.
    """
    matrices = [value for name, value in named if is_matrix(name, value)]
    others = [value for name, value in named if not is_matrix(name, value)]
    made: list[torch.optim.Optimizer] = []
    if matrices:
        made.append(torch.optim.Muon(matrices, lr=recipe.muon_rate, weight_decay=0.01))
    if others:
        made.append(torch.optim.AdamW(others, lr=recipe.adam_rate, betas=(0.9, 0.98), weight_decay=0.0))
    return made


def initialise(model: Qwen2, seed: int) -> None:
    """Normal weights (0.02; output projections scaled down by depth), zero biases, from a seed."""
    generator = torch.Generator().manual_seed(seed)
    depth = (2 * model.config.num_hidden_layers) ** -0.5
    for name, value in model.named_parameters():
        if value.ndim == 1:
            continue
        deviation = 0.02 if "embed" in name else value.shape[1] ** -0.5 * 0.6
        scale = depth if "o_proj" in name or "down_proj" in name else 1.0
        with torch.no_grad():
            value.copy_(torch.randn(value.shape, generator=generator) * deviation * scale)
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(value)
