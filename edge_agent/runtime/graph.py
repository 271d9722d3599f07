"""What an exported decoder graph looks like, read from the graph and from its builder's config. No buffers here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from edgewise.generation.kv_memory import KvElement, kv_bytes
from edgewise.wire.errors import ManifestError

_DTYPES: dict[str, Any] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_PAST_KEY = re.compile(r"past_key_values\.(\d+)\.key")


@dataclass(frozen=True)
class GraphShape:
    """Sizes of a decoder graph with grouped-query attention over shared past and present buffers.

    `last_row_only`: the head was pruned, so logits are [1, 1, vocab]; otherwise [1, new tokens, vocab].
    `takes_positions`: the graph wants `position_ids`; otherwise attention counts for itself.
    """

    layers: int
    kv_heads: int
    head_dim: int
    vocab: int
    kv_dtype: Any
    logits_dtype: Any
    last_row_only: bool
    takes_positions: bool

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values of one token."""
        element = KvElement(8 * int(np.dtype(self.kv_dtype).itemsize))
        return kv_bytes(layers=self.layers, kv_heads=self.kv_heads, tokens=1, head_dim=self.head_dim, element=element)


class _Decoder(msgspec.Struct):
    head_size: int = 0


class _Model(msgspec.Struct):
    decoder: _Decoder = msgspec.field(default_factory=_Decoder)


class _BuilderConfig(msgspec.Struct):
    """genai_config.json, as the exporter writes it."""

    model: _Model = msgspec.field(default_factory=_Model)

    @property
    def width(self) -> int:
        return self.model.decoder.head_size


class _ModelConfig(msgspec.Struct):
    """config.json, as the model was trained with."""

    head_dim: int | None = None
    hidden_size: int = 0
    num_attention_heads: int = 1

    @property
    def width(self) -> int:
        return self.head_dim or self.hidden_size // max(self.num_attention_heads, 1)


_CONFIGS: dict[str, type[_BuilderConfig] | type[_ModelConfig]] = {
    "genai_config.json": _BuilderConfig,
    "config.json": _ModelConfig,
}


def inspect_graph(session: ort.InferenceSession, path: Path) -> GraphShape:
    """Read the shape of a loaded graph. Raises ManifestError when it is not a decoder that this runtime can drive."""
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    layers = sum(1 for name in inputs if _PAST_KEY.fullmatch(name))
    _require({"input_ids", "attention_mask", *_cache_names("past_key_values", max(layers, 1))}, set(inputs), path)
    _require({"logits", *_cache_names("present", layers)}, set(outputs), path)
    key, logits = inputs["past_key_values.0.key"], outputs["logits"]
    return GraphShape(
        layers=layers,
        kv_heads=_fixed(key.shape[1], "the number of key-value heads", path),
        head_dim=key.shape[3] if isinstance(key.shape[3], int) else _configured_head_dim(path),
        vocab=_fixed(logits.shape[2], "the vocabulary size", path),
        kv_dtype=_dtype(key.type, path),
        logits_dtype=_dtype(logits.type, path),
        last_row_only=logits.shape[1] == 1,
        takes_positions="position_ids" in inputs,
    )


def _cache_names(prefix: str, layers: int) -> set[str]:
    return {f"{prefix}.{layer}.{part}" for layer in range(layers) for part in ("key", "value")}


def _require(needed: set[str], found: set[str], path: Path) -> None:
    if missing := sorted(needed - found):
        raise _unfit(path, f"it has no {', '.join(missing)}")


def _fixed(size: object, what: str, path: Path) -> int:
    if not isinstance(size, int):
        raise _unfit(path, f"{what} is not fixed in it")
    return size


def _dtype(name: str, path: Path) -> Any:
    if name not in _DTYPES:
        raise _unfit(path, f"it works on {name}, expected one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _configured_head_dim(path: Path) -> int:
    """The exporter leaves the head width out of the graph's signature; it stands in a config beside the graph."""
    for name, kind in _CONFIGS.items():
        config = path.with_name(name)
        if not config.is_file():
            continue
        try:
            width = msgspec.json.decode(config.read_bytes(), type=kind).width
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _unfit(path, f"{name} beside it does not parse ({error})") from error
        if width > 0:
            return width
    raise _unfit(path, f"the head width is neither in it nor in {' or '.join(_CONFIGS)}")


def _unfit(path: Path, why: str) -> ManifestError:
    return ManifestError(
        f"The graph {path.name} cannot be run here: {why}",
        where=str(path),
        expected="a decoder exported by the onnxruntime-genai builder for the CPU",
        remedy="export the model again and keep its config beside it",
    )
