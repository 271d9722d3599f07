"""The models of the edge benchmark: real shapes with random weights, made once into .bench/edge/models and kept.

Speed and memory do not depend on what weights say. Tokenizer and chat template are those of the reference family, so
such a directory passes every check of `edgewise model export`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
HOME: Final = ROOT / ".bench" / "edge"
MODELS: Final = HOME / "models"
_SPEECH: Final = ROOT / "reference_models" / "edge"
_SPREAD: Final = 0.02
BIASES: Final = ("q_proj", "k_proj", "v_proj")
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A Qwen2 decoder in the words of its config.json."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int = 2
    vocab_size: int = 151_936
    max_position_embeddings: int = 32_768

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def parameters(self) -> int:
        """Values in matrices and embedding, counted once (they are tied)."""
        width, inner, shared = self.hidden_size, self.intermediate_size, self.num_key_value_heads * self.head_dim
        layer = 2 * width * width + 2 * width * shared + 3 * width * inner
        return self.vocab_size * width + self.num_hidden_layers * layer


_BIG: Final = Shape(hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12)
SHAPES: Final = {
    "0.5b": Shape(hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14),
    "1.5b": _BIG,
    "1.5b-2-layers": replace(_BIG, num_hidden_layers=2),
    "tiny": Shape(hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2, vocab_size=2_560),
}
"""Qwen2.5's two small sizes, two layers of the larger one (edge_big_model.py repeats them), and one for tests."""


def random_directory(name: str, models: Path = MODELS, say: Say = print) -> Path:
    """The Hugging Face directory models/NAME-hf with random bfloat16 weights, made on the first call."""
    return once(models / f"{name}-hf", f"random weights, {name}", say, lambda folder: _write(SHAPES[name], folder))


def once(folder: Path, what: str, say: Say, make: Callable[[Path], object]) -> Path:
    """`folder`, filled by `make` on the first call; what a killed run left is made again."""
    if folder.exists():
        return folder
    say(what)
    work = folder.with_name(f".{folder.name}.work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    make(work)
    work.rename(folder)
    return folder


def _write(shape: Shape, folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)

    def random(*sizes: int) -> torch.Tensor:
        return torch.empty(sizes, dtype=torch.bfloat16).normal_(0.0, _SPREAD, generator=generator)

    tensors = {"model.embed_tokens.weight": random(shape.vocab_size, shape.hidden_size)}
    tensors["model.norm.weight"] = torch.ones(shape.hidden_size, dtype=torch.bfloat16)
    for layer in range(shape.num_hidden_layers):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = torch.ones(shape.hidden_size, dtype=torch.bfloat16)
        for matrix, (rows, columns) in matrices_of(shape).items():
            tensors[f"{prefix}{matrix}.weight"] = random(rows, columns)
            if matrix.endswith(BIASES):
                tensors[f"{prefix}{matrix}.bias"] = torch.zeros(rows, dtype=torch.bfloat16)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config_of(shape)))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 1}))
    for file in ("tokenizer.json", "chat_template.jinja"):
        shutil.copyfile(_SPEECH / file, folder / file)


def matrices_of(shape: Shape) -> dict[str, tuple[int, int]]:
    """Rows and columns of each matrix of a layer, by its name in a Hugging Face directory."""
    width, inner, shared = shape.hidden_size, shape.intermediate_size, shape.num_key_value_heads * shape.head_dim
    attention = {
        "q_proj": (width, width),
        "k_proj": (shared, width),
        "v_proj": (shared, width),
        "o_proj": (width, width),
    }
    mlp = {"gate_proj": (inner, width), "up_proj": (inner, width), "down_proj": (width, inner)}
    return {f"self_attn.{name}": size for name, size in attention.items()} | {
        f"mlp.{name}": s for name, s in mlp.items()
    }


def config_of(shape: Shape) -> dict[str, Any]:
    """What config.json says of a shape."""
    fixed = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_act": "silu",
        "torch_dtype": "bfloat16",
    }
    numbers = {"rms_norm_eps": 1e-6, "rope_theta": 1e6, "eos_token_id": 1, "pad_token_id": 0, "bos_token_id": None}
    return fixed | numbers | {"tie_word_embeddings": True, "use_sliding_window": False} | asdict(shape)
