"""The form of a decoder graph and the sizes read from it. No session is opened and no buffer made here."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from edgewise.generation.kv_memory import KvElement, kv_bytes
from edgewise.graphs.adapter import ADAPTER_KEY, AdapterShape, input_names
from edgewise.wire.errors import ManifestError

FORM: Final = "1"
"""The signature of a graph that agent and forge step:

input_ids, position_ids   [1, new] int64     the new tokens and where they stand in the text
seqlens_k                 [1] int32          tokens in the cache after this call, less one
total_sequence_length     [] int32           tokens in the cache after this call
rows                      [n] int64          which of the new tokens get logits: the last to go on, all to verify
past_key_values.L.key|value, present.L.key|value   [1, kv_heads, capacity, head_dim]   one buffer, written in place
logits                    [1, n, vocab] float32;   hidden_states [1, n, hidden] where it was exported
adapter.L.SITE.a|b        [inputs, rank], [rank, outputs] float32 where it was exported (adapter.py)
"""
FORM_KEY: Final = "edgewise.form"
HEAD_DIM_KEY: Final = "edgewise.head_dim"
TEXT_INPUTS: Final = frozenset({"input_ids", "position_ids", "seqlens_k", "total_sequence_length", "rows"})
HIDDEN_OUTPUT: Final = "hidden_states"
_CACHE_DTYPES: Final[dict[str, Any]] = {"tensor(float)": np.float32, "tensor(int8)": np.int8}
_PAST_KEY: Final = re.compile(r"past_key_values\.(\d+)\.key")


@dataclass(frozen=True)
class GraphShape:
    """Sizes of a decoder graph. `hidden` is the width of its hidden_states output, 0 where it has none; `adapter` says
    what adapters it takes, None where it has no inputs for them."""

    layers: int
    kv_heads: int
    head_dim: int
    vocab: int
    hidden: int
    kv_dtype: Any
    adapter: AdapterShape | None = None

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values of one token."""
        element = KvElement(8 * int(np.dtype(self.kv_dtype).itemsize))
        return kv_bytes(layers=self.layers, kv_heads=self.kv_heads, tokens=1, head_dim=self.head_dim, element=element)

    @property
    def cache_names(self) -> tuple[str, ...]:
        """`L.key`, `L.value` of every layer, in order: the planes of a copied cache."""
        return tuple(f"{layer}.{part}" for layer in range(self.layers) for part in ("key", "value"))


def inspect_graph(session: ort.InferenceSession, path: Path) -> GraphShape:
    """Read the shape of a loaded graph. Raises ManifestError when it is not a decoder of this form."""
    described = session.get_modelmeta().custom_metadata_map
    if described.get(FORM_KEY) != FORM:
        raise _unfit(path, f"it does not say {FORM_KEY} = {FORM}")
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    layers = sum(1 for name in inputs if _PAST_KEY.fullmatch(name))
    _require(TEXT_INPUTS | _cache_names("past_key_values", max(layers, 1)), set(inputs), path)
    _require({"logits"} | _cache_names("present", layers), set(outputs), path)
    key = inputs["past_key_values.0.key"]
    return GraphShape(
        layers=layers,
        kv_heads=_size(key.shape[1], "the number of key-value heads", path),
        head_dim=_size(described.get(HEAD_DIM_KEY), HEAD_DIM_KEY, path),
        vocab=_size(outputs["logits"].shape[2], "the vocabulary size", path),
        hidden=_size(outputs[HIDDEN_OUTPUT].shape[2], "the hidden size", path) if HIDDEN_OUTPUT in outputs else 0,
        kv_dtype=_cache_dtype(key.type, path),
        adapter=_adapter(described.get(ADAPTER_KEY), inputs, layers, path),
    )


def _adapter(said: str | None, inputs: dict[str, Any], layers: int, path: Path) -> AdapterShape | None:
    """What the graph says of adapters, as far as its inputs are so; inputs that it does not speak of are refused."""
    try:
        shape = None if said is None else AdapterShape.read(said)
    except ValueError as error:
        raise _unfit(path, f"its {ADAPTER_KEY} cannot be read: {error}") from error
    told = dict[str, tuple[int, int]]()
    for name, site in shape.sites.items() if shape else ():
        for layer in range(layers):
            a, b = input_names(layer, name)
            told |= {a: (0, site.inputs), b: (1, site.outputs)}
    found = {name for name in inputs if name.startswith("adapter.")}
    _require(told.keys() | found, found & told.keys(), path)
    for name, (axis, size) in told.items():
        if inputs[name].shape[axis] != size or inputs[name].type != "tensor(float)":
            raise _unfit(path, f"{name} is {inputs[name].type} {inputs[name].shape}, expected float with {size}")
    return shape


def _cache_names(prefix: str, layers: int) -> frozenset[str]:
    return frozenset(f"{prefix}.{layer}.{part}" for layer in range(layers) for part in ("key", "value"))


def _require(needed: Set[str], found: Set[str], path: Path) -> None:
    if missing := sorted(needed - found):
        raise _unfit(path, f"it has no {', '.join(missing)}")


def _size(said: object, what: str, path: Path) -> int:
    """A size in the signature (a number) or in the description (digits)."""
    if isinstance(said, str) and said.isascii() and said.isdigit():
        said = int(said)
    if not isinstance(said, int) or said < 1:
        raise _unfit(path, f"{what} is not fixed in it")
    return said


def _cache_dtype(name: str, path: Path) -> Any:
    if name not in _CACHE_DTYPES:
        raise _unfit(path, f"its cache is {name}, expected one of {', '.join(_CACHE_DTYPES)}")
    return _CACHE_DTYPES[name]


def _unfit(path: Path, why: str) -> ManifestError:
    return ManifestError(
        f"The graph {path.name} cannot be run here: {why}",
        where=str(path),
        expected=f"a decoder graph of form {FORM}",
        remedy="export the model again: edgewise model export DIR --out FOLDER",
    )
