"""The recipes of the reference models: shapes, tokens, rates and what each student learns from its teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloud_worker.forge.curriculum import EVEN, Emphasis
from cloud_worker.forge.qwen2 import Qwen2Config

VOCABULARY: Final = 2560
CONTEXT_TOKENS: Final = 1024
TIERS: Final = ("cloud", "edge", "draft")


@dataclass(frozen=True)
class Lessons:
    """What a student learns from its teacher (a tier that is trained before it), by tokens of its training.

    `guided_tokens` come first, with the teacher beside it (hidden states, attention); `taught_tokens` are labelled rows
    near the end; `on_policy_tokens` are the student's own words, judged by the teacher, last. `alpha` weighs the hard
    loss against the soft one at `temperature`; `hidden` and `attention` weigh the guided terms.
    """

    teacher: str
    guided_tokens: int = 0
    taught_tokens: int = 0
    on_policy_tokens: int = 0
    alpha: float = 0.5
    temperature: float = 2.0
    hidden: float = 0.5
    attention: float = 0.5


@dataclass(frozen=True)
class ModelRecipe:
    """How one model is trained. `tokens` are training tokens seen (each once), lessons included; rates are peaks.

    `emphasis`: how often the four grades are drawn. A device's model is sent the easy questions, so it learns on them.
    """

    tier: str
    config: Qwen2Config
    tokens: int
    step_tokens: int
    muon_rate: float
    adam_rate: float
    lessons: Lessons | None = None
    emphasis: Emphasis = EVEN


@dataclass(frozen=True)
class Recipe:
    """A whole run: data seed, the models in the order of training, how many processes share one training."""

    name: str
    seed: int
    models: tuple[ModelRecipe, ...]
    ranks: int
    workers: int

    def model(self, tier: str) -> ModelRecipe:
        """The recipe of one tier."""
        return next(model for model in self.models if model.tier == tier)


def _shape(hidden: int, layers: int, intermediate: int) -> Qwen2Config:
    """Heads of 64, two or more of them to one key-value head."""
    heads = hidden // 64
    return Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 2),
        max_position_embeddings=CONTEXT_TOKENS,
    )


DRAFT_SHAPE: Final = _shape(128, 2, 256)
EDGE_SHAPE: Final = _shape(128, 4, 384)
CLOUD_SHAPE: Final = _shape(256, 8, 768)
LARGE_SHAPE: Final = _shape(384, 12, 1152)
EASY: Final[Emphasis] = (10, 3, 1, 1)

RECIPES: Final[dict[str, Recipe]] = {
    "cpu": Recipe(
        name="cpu",
        seed=7,
        models=(
            ModelRecipe("cloud", CLOUD_SHAPE, 18_000_000, 6144, 0.02, 0.003),
            ModelRecipe(
                "edge", EDGE_SHAPE, 20_000_000, 4096, 0.02, 0.004, Lessons("cloud", taught_tokens=2_000_000), EASY
            ),
            ModelRecipe("draft", DRAFT_SHAPE, 8_000_000, 4096, 0.02, 0.004, Lessons("edge", taught_tokens=2_000_000)),
        ),
        ranks=2,
        workers=2,
    ),
    "gpu": Recipe(
        name="gpu",
        seed=7,
        models=(
            ModelRecipe("cloud", LARGE_SHAPE, 240_000_000, 32_768, 0.02, 0.003),
            ModelRecipe(
                "edge", EDGE_SHAPE, 60_000_000, 16_384, 0.02, 0.004, Lessons("cloud", taught_tokens=6_000_000), EASY
            ),
            ModelRecipe(
                "draft", DRAFT_SHAPE, 40_000_000, 16_384, 0.02, 0.004, Lessons("edge", taught_tokens=6_000_000)
            ),
        ),
        ranks=1,
        workers=16,
    ),
}
