"""A model too large to export here, from an export of few layers: `python -m benchmarks.edge_big_model DIR FOLDER 28`.

The second layer is repeated, each time with weights of its own: fresh random nibbles, and that layer's scales in
another order. Tensors go to their files one by one: the float weights never exist, and memory holds few layers.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from cloud_worker.architectures import CONFIG_FILE
from cloud_worker.forge.export.device_form import attention
from cloud_worker.forge.export.folder import GRAPH_FILE
from cloud_worker.forge.export.graphs import load_graph
from cloud_worker.forge.export.tensor_files import LEAST_BYTES, move_out
from edgewise.wire.manifest import (
    MANIFEST_FILE,
    TENSOR_FOLDER,
    TensorEntry,
    build_manifest,
    load_manifest,
    write_manifest,
)

REPEATED: Final = 1
"""The layer that is repeated. The first has another kind of norm before it."""
SEED: Final = 0
_LAYER: Final = re.compile(r"\b(layers|past_key_values|present)\.(\d+)")
_WEIGHT, _SCALES = 1, 2
"""Inputs of MatMulNBits."""
Rename = Callable[[str], str]


def make(source: Path, folder: Path, layers: int) -> None:
    """Fill `folder` with a model directory of `layers` layers, from that of an export with two or more.

    Raises GraphUnfitError, ManifestError for a damaged source.
    """
    parent = load_manifest(source, verify=False)
    for file in source.iterdir():
        if file.is_file() and file.name not in (GRAPH_FILE, MANIFEST_FILE):
            shutil.copyfile(file, folder / file.name)
    config = json.loads((source / CONFIG_FILE).read_text(encoding="utf-8"))
    (folder / CONFIG_FILE).write_text(json.dumps(config | {"num_hidden_layers": layers}), encoding="utf-8")
    tensors = write_repeated(load_graph(source / GRAPH_FILE), layers, folder / GRAPH_FILE)
    manifest = build_manifest(
        folder,
        name=f"{parent.name} of {layers} layers",
        tier=parent.tier,
        format=parent.format,
        weights=GRAPH_FILE,
        context_tokens=parent.context_tokens,
        eos_ids=parent.eos_ids,
        tensors=tensors,
        recipe=f"{parent.recipe}, one layer repeated",
    )
    write_manifest(folder, manifest)


def write_repeated(model: Any, layers: int, target: Path) -> dict[str, TensorEntry]:
    """Write an onnx.ModelProto with `layers` layers, its large tensors in files beside it, as exports of this size are.

    Returns what a manifest says of its tensors. `model` is used up. Raises ValueError for a model of one layer.
    """
    import onnx

    roles = _roles(model)
    tensors = list(_repeated(model, model.graph.initializer, layers))
    repeat_layer(model, layers)
    folder, draw, entries = target.parent / TENSOR_FOLDER, _Draw(), {}
    folder.mkdir(exist_ok=True)
    for tensor, rename in tensors:
        written = onnx.TensorProto()  # of its own: what a part of a message once held is freed with the whole
        written.CopyFrom(tensor)
        written.name = rename(tensor.name)
        if layer_of(tensor.name) == REPEATED and written.name != tensor.name:
            draw.again(written, roles.get(tensor.name))
        entries[written.name] = _entry(written)
        if len(written.raw_data) >= LEAST_BYTES:
            move_out(written, folder)
        model.graph.initializer.append(written)
    target.write_bytes(model.SerializeToString(deterministic=True))
    return entries


def repeat_layer(model: Any, layers: int) -> None:
    """Give an onnx.ModelProto `layers` layers, in place: nodes, signature and noted shapes. Its tensors are dropped.

    Raises ValueError for a model of one layer.
    """
    graph = model.graph
    lists = {name: list(_repeated(model, getattr(graph, name), layers)) for name in _ENTRIES}
    for name, found in lists.items():
        entries = [_renamed(entry, rename) for entry, rename in found]
        graph.ClearField(name)
        getattr(graph, name).extend(entries)
    graph.ClearField("initializer")


_ENTRIES: Final = ("node", "input", "output", "value_info")


def layer_of(name: str) -> int | None:
    """The number of the layer that a name speaks of, None where it speaks of none."""
    found = _LAYER.search(name)
    return int(found[2]) if found else None


def _repeated(model: Any, entries: Iterable[Any], layers: int) -> Iterator[tuple[Any, Rename]]:
    """Each entry of a graph with its new name, in the order of an export: neighbours of one layer stay together.

    The final norm is numbered as if it were a layer after the last, and goes on being that.
    """
    had = len(attention(model))
    if had <= REPEATED:
        raise ValueError(f"a layer after the first is repeated, and the model has {had}")
    tail = _moved(had - 1, layers - had)
    for layer, run in groupby(list(entries), key=lambda entry: layer_of(entry.name)):
        if layer == REPEATED:
            alike = list(run)
            yield from ((entry, _moved(0, by)) for by in range(layers - REPEATED) for entry in alike)
        elif layer is None or layer < REPEATED or layer >= had:
            yield from ((entry, tail) for entry in run)


def _moved(least: int, by: int) -> Rename:
    """Numbers of layers from `least` on are raised by so many."""

    def number(found: re.Match[str]) -> str:
        layer = int(found[2])
        return f"{found[1]}.{layer + by if layer >= least else layer}"

    return lambda name: _LAYER.sub(number, name)


def _renamed(entry: Any, rename: Rename) -> Any:
    made = type(entry)()
    made.CopyFrom(entry)
    made.name = rename(entry.name)
    for part in ("input", "output"):  # of a node
        if hasattr(entry, part):
            getattr(made, part)[:] = [rename(name) for name in getattr(entry, part)]
    return made


def _roles(model: Any) -> dict[str, int]:
    """Quantized weights and their scales, by name."""
    matrices = [node for node in model.graph.node if node.op_type == "MatMulNBits"]
    return {node.input[role]: role for node in matrices for role in (_WEIGHT, _SCALES)}


class _Draw:
    """Weights that say nothing, the same at every run."""

    def __init__(self) -> None:
        import numpy as np

        self._random = np.random.default_rng(SEED)

    def again(self, tensor: Any, role: int | None) -> None:
        """Other weights in place of those of a onnx.TensorProto; norms and biases stay."""
        if role == _WEIGHT:
            tensor.raw_data = self._random.bytes(len(tensor.raw_data))
        elif role == _SCALES:
            import numpy as np

            tensor.raw_data = self._random.permutation(np.frombuffer(tensor.raw_data, np.float32)).tobytes()


def _entry(tensor: Any) -> TensorEntry:
    import onnx

    values = onnx.numpy_helper.to_array(tensor)
    return TensorEntry(hashlib.sha256(values.tobytes()).hexdigest(), str(values.dtype), tuple(tensor.dims))


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
