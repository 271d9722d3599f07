"""Hugging Face model directories with random weights, small enough for tests: Llama, Qwen2 and Qwen3 shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from cloud_worker.architectures import ModelSizes, model_sizes
from cloud_worker.forge.tokenizer import CHAT_TEMPLATE
from tests.factories.forge import small_tokenizer

CLASSES = {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM"}


def config(model_type: str = "qwen2", **changed: Any) -> dict[str, Any]:
    """A config.json of two layers, 64 wide, with the test tokenizer's 512 entries."""
    return {
        "architectures": [CLASSES[model_type]],
        "model_type": model_type,
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "use_sliding_window": False,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
    } | changed


def random_tensors(sizes: ModelSizes, seed: int = 0) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Weights whose answers wander: matrices of deviation 0.2, norms of one, biases of zero."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape in sizes.tensors().items():
        fill = np.zeros(shape) if name.endswith("bias") else np.ones(shape)
        made[name] = (rng.normal(0, 0.2, shape) if len(shape) == 2 else fill).astype(np.float32)
    return made


def write_hub_model(directory: Path, model_type: str = "qwen2", **changed: Any) -> Path:
    """A complete directory: config.json, model.safetensors, tokenizer.json, chat_template.jinja."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config(model_type, **changed)), encoding="utf-8")
    save_file(random_tensors(model_sizes(directory)), directory / "model.safetensors")
    small_tokenizer().save(str(directory / "tokenizer.json"))
    (directory / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return directory
