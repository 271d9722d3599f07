"""The model families that the forge takes from outside, read from a Hugging Face config.json: sizes and tensor shapes.

Llama, Qwen2 and Qwen3, dense only. The file is untrusted: whatever is wrong with it raises ConfigJsonError. No torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgewise.wire.errors import BadRequestError

CONFIG_FILE: Final = "config.json"
ARCHITECTURES: Final = ("llama", "qwen2", "qwen3")
LARGEST_SIZE: Final = 2**31
MOST_LAYERS: Final = 1024
LARGEST_CONFIG_BYTES: Final = 2**20
HF_WINDOW: Final = 4096
"""What transformers takes where a config asks for a sliding window and does not say how wide."""


class ConfigJsonError(BadRequestError):
    """A config.json that is missing, damaged, or of a model that the forge does not take."""

    number, code = 1850, "model_config_invalid"


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """The sizes of a dense decoder with grouped-query attention and a SwiGLU block; names as in config.json."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    tie_word_embeddings: bool
    attention_bias: bool

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that the weights hold, by Hugging Face's name, with its shape [out, in] or [width]."""
        found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, self.hidden_size)}
        for layer in range(self.num_hidden_layers):
            found |= {f"model.layers.{layer}.{name}": shape for name, shape in self._layer()}
        found["model.norm.weight"] = (self.hidden_size,)
        if not self.tie_word_embeddings:
            found["lm_head.weight"] = (self.vocab_size, self.hidden_size)
        return found

    def _layer(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        for name, (rows, columns) in self.matrices().items():
            yield f"{name}.weight", (rows, columns)
        yield from ((f"{name}.weight", (self.hidden_size,)) for name in ("input_layernorm", "post_attention_layernorm"))
        if self.model_type == "qwen3":
            yield from ((f"self_attn.{name}.weight", (self.head_dim,)) for name in ("q_norm", "k_norm"))
        if self.attention_bias:
            biased = ("q_proj", "k_proj", "v_proj") if self.model_type == "qwen2" else ATTENTION
            for name in biased:
                yield f"self_attn.{name}.bias", (self.matrices()[f"self_attn.{name}"][0],)

    def matrices(self) -> dict[str, tuple[int, int]]:
        """The seven matrices of one layer, [out, in]: what weight quantization cuts into blocks along `in`."""
        width, inner = self.hidden_size, self.intermediate_size
        query, shared = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        return {
            "self_attn.q_proj": (query, width),
            "self_attn.k_proj": (shared, width),
            "self_attn.v_proj": (shared, width),
            "self_attn.o_proj": (width, query),
            "mlp.gate_proj": (inner, width),
            "mlp.up_proj": (inner, width),
            "mlp.down_proj": (width, inner),
        }

    @property
    def embedding_parameters(self) -> int:
        """Values of the token embedding; a separate head holds as many again."""
        return self.vocab_size * self.hidden_size

    @property
    def layer_parameters(self) -> int:
        """Values of one layer, norms and biases counted."""
        return sum(math.prod(shape) for _, shape in self._layer())

    @property
    def parameters(self) -> int:
        """All values; tied embeddings count once."""
        ends = self.embedding_parameters * (1 if self.tie_word_embeddings else 2) + self.hidden_size
        return ends + self.num_hidden_layers * self.layer_parameters


ATTENTION: Final = ("q_proj", "k_proj", "v_proj", "o_proj")


def read_config(directory: Path) -> dict[str, Any]:
    """The object in `directory`/config.json. Raises ConfigJsonError."""
    path = directory / CONFIG_FILE
    try:
        if path.stat().st_size > LARGEST_CONFIG_BYTES:
            raise ValueError(f"it is larger than {LARGEST_CONFIG_BYTES} bytes")
        raw = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigJsonError(
            f"config.json cannot be read: {error}",
            where=str(path),
            expected="the config.json of a Hugging Face model directory",
            remedy="fetch the model directory again",
        ) from error
    if not isinstance(raw, dict):
        raise _wrong("config.json is no JSON object", str(path))
    return raw


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def model_sizes(directory: Path) -> ModelSizes:
    """The sizes in a model directory's config.json. Raises ConfigJsonError."""
    return sizes_of(read_config(directory), str(directory / CONFIG_FILE))


def sizes_of(raw: Mapping[str, Any], where: str = CONFIG_FILE) -> ModelSizes:
    """The sizes in the object of a config.json, each checked. Raises ConfigJsonError naming the field."""
    model_type = raw.get("model_type")
    if model_type not in ARCHITECTURES:
        raise ConfigJsonError(
            f"Models of type {str(model_type)[:40]!r} cannot be taken",
            where=where,
            expected=f"model_type {', '.join(ARCHITECTURES)} (dense decoders)",
            remedy="serve such a model with its own engine and name it in EDGEWISE_UPSTREAMS",
        )
    heads = _size(raw, "num_attention_heads", where)
    sizes = ModelSizes(
        model_type=model_type,
        vocab_size=_size(raw, "vocab_size", where),
        hidden_size=_size(raw, "hidden_size", where),
        intermediate_size=_size(raw, "intermediate_size", where),
        num_hidden_layers=_size(raw, "num_hidden_layers", where),
        num_attention_heads=heads,
        num_key_value_heads=_size(raw, "num_key_value_heads", where, heads),
        head_dim=_size(raw, "head_dim", where, _head_dim(raw, heads, where)),
        max_position_embeddings=_size(raw, "max_position_embeddings", where),
        tie_word_embeddings=_flag(raw, "tie_word_embeddings", where, False),
        attention_bias=_flag(raw, "attention_bias", where, model_type == "qwen2"),
    )
    _check_heads(sizes, where)
    _check_reals(raw, where)
    return sizes


def _head_dim(raw: Mapping[str, Any], heads: int, where: str) -> int:
    return max(1, _size(raw, "hidden_size", where) // heads)


def _size(raw: Mapping[str, Any], name: str, where: str, default: int | None = None) -> int:
    value = raw.get(name)
    value = default if value is None else value
    if type(value) is not int or not 1 <= value < LARGEST_SIZE:
        found = "it is missing" if value is None else f"it is {str(value)[:40]!r}"
        raise _wrong(f"{name} must be a whole number above zero: {found}", where)
    return value


def _flag(raw: Mapping[str, Any], name: str, where: str, default: bool) -> bool:
    value = raw.get(name)
    value = default if value is None else value
    if type(value) is not bool:
        raise _wrong(f"{name} must be true or false: it is {str(value)[:40]!r}", where)
    return value


def _check_heads(sizes: ModelSizes, where: str) -> None:
    if sizes.num_attention_heads % sizes.num_key_value_heads:
        raise _wrong("num_attention_heads must divide by num_key_value_heads", where)
    if sizes.num_hidden_layers > MOST_LAYERS:
        raise _wrong(f"num_hidden_layers must be at most {MOST_LAYERS}: it is {sizes.num_hidden_layers}", where)
    if sizes.head_dim % 2:
        raise _wrong(f"head_dim must be even for rotary positions: it is {sizes.head_dim}", where)


def _check_reals(raw: Mapping[str, Any], where: str) -> None:
    """Numbers that this file only passes on: the builder and torch would break on them in the middle of the work."""
    rotary = [raw.get(name) for name in ("rope_parameters", "rope_scaling")]
    if not all(each is None or isinstance(each, dict) for each in rotary):
        raise _wrong("rope_parameters and rope_scaling must be objects", where)
    if _flag(raw, "use_sliding_window", where, False):
        _size(raw, "sliding_window", where, HF_WINDOW)
    for place in (raw, *filter(None, rotary)):
        for name in ("rms_norm_eps", "rope_theta", "factor"):
            value = place.get(name)
            if value is not None and (type(value) not in (int, float) or not 0 < value < math.inf):
                raise _wrong(f"{name} must be a number above zero: it is {str(value)[:40]!r}", where)


def _wrong(message: str, where: str) -> ConfigJsonError:
    return ConfigJsonError(message, where=where, remedy="correct the file, or fetch the model directory again")
