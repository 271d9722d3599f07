"""A graph whose tensors lie beside it, each in a file that is named by its digest.

model.onnx          the nodes, the small tensors, and the digest of each large one: so its own digest covers them all
tensors/<sha256>    little-endian bytes; mapped instead of copied, and the same file wherever the tensor is the same
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any, Final

from edgewise.wire.manifest import TENSOR_FOLDER

LEAST_BYTES: Final = 4096
"""Smaller tensors stay in the graph: a file takes a page of memory and of the disk at least."""
APART_BYTES: Final = 16_000_000
"""Graphs from this size on are written so unless something else is asked for; smaller ones are copied in a moment."""


def save_with_tensor_files(model: Any, target: Path, least_bytes: int = LEAST_BYTES) -> Path:
    """Write a ModelProto to `target`, and its tensors of at least `least_bytes` to the folder beside it, which is
    replaced. The ModelProto holds those tensors no longer."""
    folder = target.parent / TENSOR_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) >= least_bytes:
            move_out(tensor, folder)
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target


def tensor_files(graph: Path) -> list[Path]:
    """The files with a graph's tensors, by name; none where they are in the graph or in one data file."""
    return sorted(graph.parent.glob(f"{TENSOR_FOLDER}/*"))


def move_out(tensor: Any, folder: Path) -> None:
    """Write the bytes of an onnx.TensorProto to `folder`, which lies beside its graph, and let it name their file."""
    import onnx

    raw = tensor.raw_data
    digest = hashlib.sha256(raw).hexdigest()
    (folder / digest).write_bytes(raw)  # twice the same tensor is twice the same file
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", f"{TENSOR_FOLDER}/{digest}"), ("offset", "0"), ("length", str(len(raw)))):
        tensor.external_data.add(key=key, value=value)
