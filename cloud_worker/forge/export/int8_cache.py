"""A key-value cache of int8 in a graph of the device form: fixed scales, measured on text, written into the graph.

A scale belongs to one channel of one head, for keys (after rotation) and values of each layer apart: the operator takes
one for a whole layer too, but in models with biases a few channels of keys are far larger than the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_worker.forge.export.device_form import KV_KEY, attention, describe
from cloud_worker.forge.export.errors import CombinationRefusedError
from cloud_worker.forge.stepping import open_row

INT8_MAX: Final = 127
SPARE: Final = 1.5
"""Room above the largest value seen. What is larger is cut off, and that does far more harm than a coarser grid: on the
reference edge model scales of eight texts without room moved a logit by 10, with this by 1.2 (ADR 0029)."""
STRANGE_ROWS: Final = 8
STRANGE_TOKENS: Final = 128
SEED: Final = 7
_SCALE_INPUTS: Final = {"key": 12, "value": 13}

Peaks = NDArray[np.float32]
"""Largest absolute value of each channel [2 * layers, kv_heads, head_dim], planes as in GraphShape.cache_names."""


def cache_peaks(graph: Path, texts: Iterable[Sequence[int]]) -> Peaks:
    """What the cache of a float graph holds at most on these rows. Raises ManifestError, ValueError for no rows."""
    rows = [list(text) for text in texts if text]
    if not rows:
        raise ValueError("there are no rows to look at")
    row, found = open_row(graph, max(map(len, rows))), []
    for ids in rows:
        row.rewind(0)
        row.forward(ids)
        found.append(np.abs(row.read(0, len(ids))).max(axis=2))
    peaks: Peaks = np.max(found, axis=0).astype(np.float32)
    return peaks


def strange_texts(vocabulary: int, context: int) -> list[list[int]]:
    """Rows of tokens drawn at random: values that ordinary text of a few hundred tokens does not show."""
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(0, vocabulary, (STRANGE_ROWS, min(STRANGE_TOKENS, context)))
    return [[int(token) for token in row] for row in drawn]


def to_int8_cache(model: Any, peaks: Peaks) -> Any:
    """Rewrite an onnx.ModelProto of the device form in place, and return it.

    Raises CombinationRefusedError for peaks of another shape, or such that no scale can be made of.
    """
    import onnx

    nodes = attention(model)
    if peaks.shape[0] != 2 * len(nodes) or not np.isfinite(peaks).all():
        raise _no_scales(f"those of {peaks.shape[0] // 2} layers were given for {len(nodes)}, or some are no numbers")
    for node, (keys, values) in zip(nodes, peaks.reshape(len(nodes), 2, -1), strict=True):
        node.input.extend([""] * (max(_SCALE_INPUTS.values()) + 1 - len(node.input)))
        for (part, place), peak in zip(_SCALE_INPUTS.items(), (keys, values), strict=True):
            name = f"{node.name.strip('/').replace('/', '.')}.{part}_scale"
            model.graph.initializer.append(onnx.numpy_helper.from_array(_scales(peak), name))
            node.input[place] = name
            node.attribute.append(onnx.helper.make_attribute(f"{part[0]}_quant_type", "PER_CHANNEL"))
        node.attribute.append(onnx.helper.make_attribute("kv_cache_bit_width", 8))
    for given in (*model.graph.input, *model.graph.output):
        if given.name.startswith(("past_key_values.", "present.")):
            given.type.tensor_type.elem_type = onnx.TensorProto.INT8
    describe(model, {KV_KEY: "int8"})
    return model


def _scales(peak: NDArray[np.float32]) -> NDArray[np.float32]:
    """A step for each channel; a channel that was never used gets that of the largest one."""
    most = float(peak.max())
    if most <= 0:
        raise _no_scales("a layer's cache holds nothing but zeros")
    used = np.where(peak > 0, peak, most)
    scales: NDArray[np.float32] = (used * (SPARE / INT8_MAX)).astype(np.float32)
    return scales


def _no_scales(why: str) -> CombinationRefusedError:
    return CombinationRefusedError(
        f"A cache of int8 needs scales that were measured: {why}",
        where="--kv int8",
        expected="keys and values of every layer, seen on text of the model",
        remedy="export with a float cache, or report the model's config.json",
    )
