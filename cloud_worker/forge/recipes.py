"""The two recipes of the reference pair: the same shapes, trained for minutes on two CPU cores or on one GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloud_worker.engine.models.qwen2 import Qwen2Config

VOCABULARY: Final = 2560
CONTEXT_TOKENS: Final = 1024


@dataclass(frozen=True)
class ModelRecipe:
    """How one model is trained. `tokens` are training tokens seen (each once); learning rates are peaks."""

    tier: str
    config: Qwen2Config
    tokens: int
    step_tokens: int
    muon_rate: float
    adam_rate: float


@dataclass(frozen=True)
class Recipe:
    """A whole run: data seed, the two models, and how many processes share one training and the data making."""

    name: str
    seed: int
    edge: ModelRecipe
    cloud: ModelRecipe
    ranks: int
    workers: int


def _shape(hidden: int, layers: int, heads: int) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT_TOKENS,
    )


EDGE_SHAPE: Final = _shape(128, 3, 2)
CLOUD_SHAPE: Final = _shape(192, 6, 3)

RECIPES: Final[dict[str, Recipe]] = {
    "cpu": Recipe(
        name="cpu",
        seed=7,
        edge=ModelRecipe("edge", EDGE_SHAPE, 6_000_000, 6144, 0.02, 0.004),
        cloud=ModelRecipe("cloud", CLOUD_SHAPE, 9_000_000, 6144, 0.02, 0.003),
        ranks=2,
        workers=2,
    ),
    "gpu": Recipe(
        name="gpu",
        seed=7,
        edge=ModelRecipe("edge", EDGE_SHAPE, 120_000_000, 24_576, 0.02, 0.004),
        cloud=ModelRecipe("cloud", CLOUD_SHAPE, 120_000_000, 24_576, 0.02, 0.003),
        ranks=1,
        workers=16,
    ),
}
