"""The committed model directories: complete, unharmed, of one family, and small."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_worker.forge.qwen2 import Qwen2Config
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.manifest import load_manifest

HOME = Path(__file__).parents[2] / "reference_models"
TIERS = ("edge", "cloud", "draft")
MOST_BYTES = 20 * 1024 * 1024


@pytest.mark.parametrize("tier", TIERS)
def test_every_file_is_the_one_that_the_manifest_describes(tier: str) -> None:
    manifest = load_manifest(HOME / tier, verify=True)
    assert (manifest.name, manifest.tier, manifest.recipe) == (f"edgewise-reference-{tier}", tier, "cpu")
    assert {path.name for path in (HOME / tier).iterdir()} == {*manifest.files, manifest.card, "manifest.json"}


def test_all_tiers_share_tokenizer_and_template() -> None:
    loaded = [ChatTokenizer.load(HOME / tier) for tier in TIERS]
    assert len({(each.digest, each.template_digest) for each in loaded}) == 1


@pytest.mark.parametrize("tier", TIERS)
def test_the_manifest_and_the_config_agree(tier: str) -> None:
    manifest, config = load_manifest(HOME / tier, verify=False), Qwen2Config.from_file(HOME / tier)
    assert manifest.context_tokens == config.max_position_embeddings
    assert manifest.eos_ids == (config.eos_token_id,)
    assert ChatTokenizer.load(HOME / tier).vocab_size <= config.vocab_size


def test_together_they_are_small() -> None:
    assert sum(path.stat().st_size for path in HOME.rglob("*") if path.is_file()) <= MOST_BYTES
