"""Small pieces of the forge for tests: a tokenizer made in a fraction of a second, and a run of a handful of steps."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer

from cloud_worker.forge import export, tokenizer
from cloud_worker.forge.qwen2 import Qwen2Config
from cloud_worker.forge.recipes import Lessons, ModelRecipe, Recipe
from cloud_worker.forge.reference.run import Run

VOCABULARY = 512
SHAPE = Qwen2Config(
    vocab_size=VOCABULARY,
    hidden_size=64,
    intermediate_size=64,
    num_hidden_layers=1,
    num_attention_heads=1,
    num_key_value_heads=1,
)


@cache
def small_tokenizer() -> Tokenizer:
    """The family's tokenizer, trained on a few hundred conversations."""
    return tokenizer.train(seed=7, conversations=300, vocabulary=VOCABULARY)


def small_recipe(tier: str) -> ModelRecipe:
    """A model of one narrow layer and about ten steps."""
    return ModelRecipe(tier, SHAPE, tokens=30_000, step_tokens=2048, muon_rate=0.02, adam_rate=0.004)


def small_run(work: Path) -> Run:
    """A whole run, with its tokenizer already in the work folder; the scale keeps the least number of tokens."""
    lessons = Lessons("cloud", guided_tokens=4_000, taught_tokens=24_000, on_policy_tokens=8_000)
    edge = dataclasses.replace(small_recipe("edge"), lessons=lessons)
    models = (small_recipe("cloud"), edge, small_recipe("draft"))
    recipe = Recipe("small", 7, models, ranks=1, workers=1)
    run = Run(
        recipe,
        out=work / "out",
        work=work,
        scale=0.5,
        per_cell=1,
        compile=False,
        answer_tokens=3,
        agreement_exercises=3,
        precisions=(export.SHIPPED,),
        paper_per_cell=1,
    )
    small_tokenizer().save(str(run.tokenizer_file))
    return run
