"""The shape of a Qwen2 model and its config.json, checked before anything is built from it.

Field names are those of Hugging Face's Qwen2ForCausalLM, so either side reads the other's files.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_SIZES: Final = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)


class ModelFileError(Exception):
    """A model directory that cannot be loaded: says which file, what was expected and what to do."""


@dataclass(frozen=True)
class Qwen2Config:
    """Shape of a Qwen2 model; field names are those of Hugging Face's config.json."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int = 1024
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = True
    eos_token_id: int = 1
    pad_token_id: int = 0

    @property
    def head_dim(self) -> int:
        """Width of one attention head, in values."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_file(cls, directory: Path) -> Qwen2Config:
        """Read `directory`/config.json. Raises ModelFileError when it is missing, damaged or not of this kind."""
        path = directory / "config.json"
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelFileError(
                f"{path}: expected a readable Qwen2 config.json ({error}); check the model directory"
            ) from error
        if not isinstance(raw, dict) or raw.get("model_type") != "qwen2":
            raise ModelFileError(f"{path}: expected model_type qwen2; this module loads no other architecture")
        return cls._from_mapping(raw, path)

    @classmethod
    def _from_mapping(cls, raw: dict[str, Any], path: Path) -> Qwen2Config:
        nested = raw.get("rope_parameters") or {}
        known = {field.name: raw[field.name] for field in dataclasses.fields(cls) if raw.get(field.name) is not None}
        if isinstance(nested, dict):
            known.setdefault("rope_theta", nested.get("rope_theta", 10_000.0))
        try:
            config = cls(**known)
        except TypeError as error:
            raise ModelFileError(f"{path}: a required size is missing ({error}); write the full config.json") from error
        if wrong := config._unsound():
            raise ModelFileError(f"{path}: expected {wrong}; correct the file or fetch it again")
        return config

    def _unsound(self) -> str:
        """What a sound config would have that this one lacks, or nothing."""
        for name in _SIZES:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                return f"{name} to be a whole number above zero, found {value!r}"
        if not all(isinstance(value, int | float) and value > 0 for value in (self.rope_theta, self.rms_norm_eps)):
            return "rope_theta and rms_norm_eps to be numbers above zero"
        if type(self.tie_word_embeddings) is not bool:
            return f"tie_word_embeddings to be true or false, found {self.tie_word_embeddings!r}"
        if self.hidden_size % self.num_attention_heads or self.num_attention_heads % self.num_key_value_heads:
            return "the hidden size to divide by the heads, and the heads by the key-value heads"
        return ""

    def to_mapping(self) -> dict[str, Any]:
        """The config.json that Hugging Face's loader and the ONNX builder read."""
        fixed = {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "hidden_act": "silu",
            "attention_dropout": 0.0,
            "use_sliding_window": False,
            "torch_dtype": "bfloat16",
            "bos_token_id": None,
            "head_dim": self.head_dim,
        }
        return fixed | dataclasses.asdict(self)
