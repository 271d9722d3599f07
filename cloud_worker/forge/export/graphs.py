"""ONNX graphs as files: read with their data, written as one file where protobuf allows, digests of tensors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from cloud_worker.forge.export.errors import GraphUnfitError
from cloud_worker.forge.export.tensor_files import tensor_files
from edgewise.wire.manifest import TensorEntry

ONE_FILE_BYTES: Final = 1_900_000_000
"""Above it the tensors go to a file beside the graph: a protobuf message ends at 2 GiB."""
DATA_SUFFIX: Final = ".data"


def load_graph(path: Path) -> Any:
    """An onnx.ModelProto with its external data in memory. Raises GraphUnfitError for a damaged file."""
    import onnx

    try:
        return onnx.load(path)
    except Exception as error:
        raise GraphUnfitError(
            f"The graph {path.name} cannot be read: {str(error)[:200]}",
            where=str(path),
            expected="an ONNX file, with its data file or its tensors beside it where it has such",
            remedy="export the model again",
        ) from error


def save_graph(model: Any, target: Path, one_file_bytes: int = ONE_FILE_BYTES) -> Path:
    """Write a ModelProto to `target`, with the tensors in it or, where they are too large, in `target`.data."""
    import onnx

    apart = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > one_file_bytes
    data = target.with_name(target.name + DATA_SUFFIX)
    data.unlink(missing_ok=True)
    onnx.save_model(model, target, save_as_external_data=apart, location=data.name if apart else None)
    return target


def drop_unused(model: Any) -> None:
    """Remove nodes and stored tensors of a ModelProto that no output rests on, in place."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    for place in reversed(range(len(graph.node))):  # nodes stand in the order of computing
        if needed.intersection(graph.node[place].output):
            needed.update(graph.node[place].input)
        else:
            del graph.node[place]
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name not in needed:
            del graph.initializer[place]


def graph_files(graph: Path) -> list[Path]:
    """The graph, its data file where there is one, and the files of its tensors where it has such."""
    data = graph.with_name(graph.name + DATA_SUFFIX)
    return [graph, *([data] if data.exists() else []), *tensor_files(graph)]


def graph_bytes(graph: Path) -> int:
    """Size of the graph and what lies beside it for it, in bytes."""
    return sum(path.stat().st_size for path in graph_files(graph))


def graph_tensors(graph: Path) -> dict[str, TensorEntry]:
    """Every initializer by name, for a manifest: digest of its little-endian bytes (packed, for int4), type, shape."""
    import onnx

    found = {}
    for tensor in load_graph(graph).graph.initializer:
        raw = tensor.raw_data or onnx.numpy_helper.to_array(tensor).tobytes()
        named = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        entry = TensorEntry(hashlib.sha256(raw).hexdigest(), _NAMES.get(named, named), tuple(tensor.dims))
        found[tensor.name] = entry
    return found


_NAMES: Final = {"float": "float32", "double": "float64"}
