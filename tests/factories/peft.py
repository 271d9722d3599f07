"""LoRA adapters with random values, laid out as PEFT's save_pretrained does (without the library)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from cloud_worker.architectures import ModelSizes

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def peft_config(rank: int = 4, **changed: Any) -> dict[str, Any]:
    """adapter_config.json with what PEFT writes and a converter reads."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "rank_pattern": {},
        "alpha_pattern": {},
        "modules_to_save": None,
        "target_modules": list(ALL),
    } | changed


def lora_tensors(
    sizes: ModelSizes, rank: int = 4, modules: tuple[str, ...] = ALL, seed: int = 1
) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """lora_A [rank, in] and lora_B [out, rank] of every layer."""
    rng, made = np.random.default_rng(seed), {}
    for layer in range(sizes.num_hidden_layers):
        for path, (out, width) in sizes.matrices().items():
            if path.rpartition(".")[2] in modules:
                stem = f"base_model.model.model.layers.{layer}.{path}"
                made[f"{stem}.lora_A.weight"] = rng.normal(0, width**-0.5, (rank, width)).astype(np.float32)
                made[f"{stem}.lora_B.weight"] = rng.normal(0, 0.3, (out, rank)).astype(np.float32)
    return made


def write_peft(
    directory: Path, config: dict[str, Any], tensors: dict[str, np.ndarray[Any, np.dtype[np.float32]]]
) -> Path:
    """Both files of an adapter."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tensors, directory / "adapter_model.safetensors")
    return directory
