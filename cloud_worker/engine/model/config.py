"""What a Hugging Face directory says of a Llama, Qwen2 or Qwen3 model: sizes, rotary scaling, windows, end tokens.

The files are untrusted: whatever is wrong with them, or asks for what the engine does not compute, raises ManifestError
that names the field. No torch; sizes and tensor names are those of cloud_worker.architectures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, cast

from cloud_worker.architectures import (
    CONFIG_FILE,
    HF_WINDOW,
    LARGEST_CONFIG_BYTES,
    ConfigJsonError,
    ModelSizes,
    read_config,
    sizes_of,
)
from edgewise.generation.kv_memory import KvElement, kv_bytes
from edgewise.wire.errors import ManifestError

GENERATION_FILE: Final = "generation_config.json"
DEFAULT_THETA: Final = 10_000.0
HF_FULL_LAYERS: Final = 28
"""Layers without a window where a config asks for one and has no max_window_layers."""

RopeKind = Literal["default", "linear", "llama3", "yarn"]
ROPE_KINDS: Final = ("default", "linear", "llama3", "yarn")
MOST_EOS: Final = 64


@dataclass(frozen=True, kw_only=True)
class Rope:
    """Rotary positions (Su et al., 2021) and how they are stretched: linear (Chen et al., 2023), llama3 (Llama 3.1), or
    yarn (Peng et al., 2023). Fields that a kind does not use keep their defaults."""

    theta: float = DEFAULT_THETA
    kind: RopeKind = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float = 1.0
    """Cosines and sines are multiplied by it."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A dense decoder that the engine can compute."""

    sizes: ModelSizes
    rms_norm_eps: float
    rope: Rope
    windows: tuple[int, ...]
    """For each layer how many of the newest keys a token sees, its own among them; 0: all."""
    eos_ids: tuple[int, ...] = ()

    @property
    def heads(self) -> int:
        return self.sizes.num_attention_heads

    @property
    def kv_heads(self) -> int:
        return self.sizes.num_key_value_heads

    @property
    def head_dim(self) -> int:
        return self.sizes.head_dim

    @property
    def layers(self) -> int:
        return self.sizes.num_hidden_layers

    @property
    def qk_norm(self) -> bool:
        """Whether queries and keys are normed before they are rotated."""
        return self.sizes.model_type == "qwen3"

    def kv_bytes(self, tokens: int, element: KvElement) -> int:
        """Bytes of the keys and values of `tokens` tokens."""
        return kv_bytes(
            layers=self.layers, kv_heads=self.kv_heads, tokens=tokens, head_dim=self.head_dim, element=element
        )


def load_config(directory: Path) -> ModelConfig:
    """Read config.json and, where it is there, generation_config.json. Raises ManifestError."""
    where = str(directory / CONFIG_FILE)
    try:
        raw = read_config(directory)
    except ConfigJsonError as error:
        raise _as_manifest_error(error) from error
    return parse_config(raw, where, _generation(directory / GENERATION_FILE))


def parse_config(
    raw: Mapping[str, Any], where: str = CONFIG_FILE, generation: Mapping[str, Any] | None = None
) -> ModelConfig:
    """The config in the objects of config.json and generation_config.json, each field checked. Raises ManifestError."""
    try:
        sizes = sizes_of(raw, where)
    except ConfigJsonError as error:
        raise _as_manifest_error(error) from error
    if sizes.num_attention_heads * sizes.head_dim > _LARGEST_WIDTH:
        _refuse(
            "num_attention_heads x head_dim",
            sizes.num_attention_heads * sizes.head_dim,
            f"at most {_LARGEST_WIDTH}",
            where,
        )
    _check_computable(raw, where)
    return ModelConfig(
        sizes=sizes,
        rms_norm_eps=_real(raw, "rms_norm_eps", where, 1e-6),
        rope=_rope(raw, sizes, where),
        windows=_windows(raw, sizes, where),
        eos_ids=_eos_ids(raw, generation or {}, sizes, where),
    )


_LARGEST_WIDTH: Final = 2**24
_ONLY: Final[dict[str, tuple[Any, ...]]] = {
    "hidden_act": (None, "silu", "swish"),
    "mlp_bias": (None, False),
    "partial_rotary_factor": (None, 1, 1.0),
    "quantization_config": (None,),
}
"""Fields that change the arithmetic, and the values that it is written for."""


def _check_computable(raw: Mapping[str, Any], where: str) -> None:
    for name, known in _ONLY.items():
        if (value := raw.get(name)) not in known:
            _refuse(name, value, f"{known[-1]!r} or nothing", where)


def _windows(raw: Mapping[str, Any], sizes: ModelSizes, where: str) -> tuple[int, ...]:
    layers = sizes.num_hidden_layers
    kinds = raw.get("layer_types")
    asked = sizes.model_type != "llama" and raw.get("use_sliding_window") is True
    window = _whole(raw, "sliding_window", where, HF_WINDOW) if asked else 0
    if kinds is None:
        full = _whole(raw, "max_window_layers", where, HF_FULL_LAYERS, least=0) if asked else layers
        return tuple(window if layer >= full else 0 for layer in range(layers))
    if not isinstance(kinds, list) or len(kinds) != layers:
        _refuse("layer_types", kinds, f"a list of {layers} names", where)
    if wrong := [kind for kind in kinds if kind not in ("full_attention", "sliding_attention")]:
        _refuse("layer_types", wrong[0], "full_attention or sliding_attention", where)
    if "sliding_attention" in kinds and not asked:
        _refuse("layer_types", "sliding_attention", "use_sliding_window and sliding_window beside it", where)
    return tuple(window if kind == "sliding_attention" else 0 for kind in kinds)


def _rope(raw: Mapping[str, Any], sizes: ModelSizes, where: str) -> Rope:
    scaling: dict[str, Any] = {**(raw.get("rope_parameters") or {}), **(raw.get("rope_scaling") or {})}
    theta = _real(scaling, "rope_theta", where, _real(raw, "rope_theta", where, DEFAULT_THETA))
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind not in ROPE_KINDS:
        _refuse("the rotary scaling", kind, ", ".join(ROPE_KINDS), where)
    for name in ("partial_rotary_factor", "mscale", "mscale_all_dim"):
        if scaling.get(name) not in (None, 1, 1.0):
            _refuse(name, scaling[name], "nothing", where)
    if theta <= 1:
        _refuse("rope_theta", theta, "a number above 1", where)
    if kind == "default":
        return Rope(theta=theta)
    factor = _real(scaling, "factor", where)
    if factor < 1:
        _refuse("factor", factor, "a number of at least 1", where)
    if kind == "linear":
        return Rope(theta=theta, kind="linear", factor=factor)
    context = float(_whole(scaling, "original_max_position_embeddings", where, _original_context(raw, sizes, where)))
    return (
        _llama3(theta, factor, context, scaling, where)
        if kind == "llama3"
        else _yarn(theta, factor, context, scaling, where)
    )


def _original_context(raw: Mapping[str, Any], sizes: ModelSizes, where: str) -> int:
    return _whole(raw, "original_max_position_embeddings", where, sizes.max_position_embeddings)


def _llama3(theta: float, factor: float, context: float, scaling: Mapping[str, Any], where: str) -> Rope:
    low, high = _real(scaling, "low_freq_factor", where), _real(scaling, "high_freq_factor", where)
    if high <= low:
        _refuse("high_freq_factor", high, f"more than low_freq_factor ({low})", where)
    return Rope(
        theta=theta,
        kind="llama3",
        factor=factor,
        low_freq_factor=low,
        high_freq_factor=high,
        original_context=context,
    )


def _yarn(theta: float, factor: float, context: float, scaling: Mapping[str, Any], where: str) -> Rope:
    truncate = scaling.get("truncate", True)
    fast, slow = _real(scaling, "beta_fast", where, 32.0), _real(scaling, "beta_slow", where, 1.0)
    if type(truncate) is not bool:
        _refuse("truncate", truncate, "true or false", where)
    if fast <= slow:
        _refuse("beta_fast", fast, f"more than beta_slow ({slow})", where)
    return Rope(
        theta=theta,
        kind="yarn",
        factor=factor,
        original_context=context,
        beta_fast=fast,
        beta_slow=slow,
        truncate=truncate,
        attention_factor=_real(scaling, "attention_factor", where, 0.1 * math.log(factor) + 1.0),
    )


def _eos_ids(raw: Mapping[str, Any], generation: Mapping[str, Any], sizes: ModelSizes, where: str) -> tuple[int, ...]:
    """generation_config.json wins over config.json, as in transformers."""
    value = generation.get("eos_token_id")
    value = raw.get("eos_token_id") if value is None else value
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if len(ids) > MOST_EOS or not all(type(i) is int and 0 <= i < sizes.vocab_size for i in ids):
        _refuse("eos_token_id", value, f"ids below {sizes.vocab_size}", where)
    return tuple(dict.fromkeys(ids))


def _generation(path: Path) -> dict[str, Any]:
    try:
        if not path.exists():
            return {}
        if path.stat().st_size > LARGEST_CONFIG_BYTES:
            raise ValueError(f"it is larger than {LARGEST_CONFIG_BYTES} bytes")
        raw = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{GENERATION_FILE} cannot be read: {error}", where=str(path), remedy=_REMEDY) from error
    return cast(dict[str, Any], raw)


_REMEDY: Final = "correct the file, or fetch the model directory again"


def _whole(raw: Mapping[str, Any], name: str, where: str, default: int | None = None, least: int = 1) -> int:
    value = raw.get(name)
    value = default if value is None else value
    if type(value) is not int or not least <= value < 2**31:
        _refuse(name, value, f"a whole number of at least {least}", where)
    return value


def _real(raw: Mapping[str, Any], name: str, where: str, default: float | None = None) -> float:
    value = raw.get(name)
    value = default if value is None else value
    if value is None or type(value) not in (int, float) or not _SMALLEST < value < _LARGEST:
        _refuse(name, value, "a number above zero", where)
    return float(value)


_SMALLEST, _LARGEST = 1e-30, 1e30


def _refuse(name: str, value: object, expected: str, where: str) -> NoReturn:
    raise ManifestError(
        f"This engine cannot compute a model whose {name} is {str(value)[:40]!r}",
        where=where,
        expected=expected,
        remedy="serve such a model with its own engine, or correct the file",
    )


def _as_manifest_error(error: ConfigJsonError) -> ManifestError:
    return ManifestError(error.message, where=error.where, expected=error.expected, remedy=error.remedy or _REMEDY)
