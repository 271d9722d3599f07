"""Tiny random Qwen2 models for tests, with the manifest that an engine wants; on disk where a test asks for it."""

from __future__ import annotations

from pathlib import Path

import torch

from cloud_worker.forge.qwen2 import Qwen2, Qwen2Config
from edgewise.node.scripted import scripted_manifest
from edgewise.wire.manifest import TEMPLATE_FILE, TOKENIZER_FILE, Manifest, build_manifest, write_manifest
from tests.factories.tokenizers import END_ID, TEMPLATE, tokenizer_json

TINY = Qwen2Config(
    vocab_size=320,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
)


def tiny_model(config: Qwen2Config = TINY, seed: int = 0) -> Qwen2:
    """A random model whose greedy answers wander (weights larger than a fresh layer's)."""
    torch.manual_seed(seed)
    model = Qwen2(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.25)
    return model


def tiny_manifest(context_tokens: int = 256, eos_ids: tuple[int, ...] = (END_ID,)) -> Manifest:
    """A manifest without files for an engine that is built in memory."""
    return scripted_manifest(context_tokens=context_tokens, eos_ids=eos_ids, tier="cloud")


def write_tiny_model(directory: Path, *, context_tokens: int = 256, seed: int = 0) -> Manifest:
    """A complete cloud model directory: weights, config, tokenizer, template, manifest."""
    tiny_model(seed=seed).save(directory)
    (directory / TOKENIZER_FILE).write_bytes(tokenizer_json())
    (directory / TEMPLATE_FILE).write_text(TEMPLATE, encoding="utf-8")
    manifest = build_manifest(
        directory,
        name="tiny-cloud",
        tier="cloud",
        format="safetensors",
        weights="model.safetensors",
        context_tokens=context_tokens,
        eos_ids=(END_ID,),
    )
    write_manifest(directory, manifest)
    return manifest
