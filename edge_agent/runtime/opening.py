"""The graph of a model directory, opened: which file it is, its digest, and whether this machine keeps it exact."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from edge_agent.runtime import self_check
from edgewise.graphs import DecoderGraph, SessionSettings, kernel_id
from edgewise.graphs.prepacked import PrepackedStore
from edgewise.wire.errors import ManifestError
from edgewise.wire.manifest import Manifest

logger = logging.getLogger(__name__)


def open_graph(
    directory: Path, manifest: Manifest, *, threads: int, spinning: bool, machine_dir: Path | None
) -> tuple[DecoderGraph, bool]:
    """The loaded graph, and whether this machine keeps what exact answers rest on; `machine_dir` remembers that, and
    the prepacked copy. Raises ManifestError for a graph that does not load or does not run."""
    prepacked = PrepackedStore(machine_dir / "prepacked") if machine_dir else None
    settings = SessionSettings(threads, spinning, prepacked)
    graph = DecoderGraph.load(directory / _graph_file(manifest, directory), settings, graph_digest(manifest))
    return graph, _checked(graph, manifest, machine_dir)


def graph_digest(manifest: Manifest) -> str:
    """Digest of the graph and of the weight files beside it, whichever of them holds the tensors."""
    listed = sorted((name, entry.sha256) for name, entry in manifest.graph_files.items())
    return hashlib.sha256(repr(listed).encode()).hexdigest()


def _checked(graph: DecoderGraph, manifest: Manifest, machine_dir: Path | None) -> bool:
    try:
        holds = self_check.remembered(graph, kernel_id(), graph_digest(manifest), machine_dir, manifest.context_tokens)
    except Exception as error:
        raise ManifestError(
            f"The graph {graph.path.name} loads, but does not run: {str(error)[:300]}",
            where=str(graph.path),
            expected="a decoder graph that reads a few tokens",
            remedy="export the model again: edgewise model export DIR --out FOLDER",
        ) from error
    if not holds:
        logger.warning("this machine's kernels give other bits for other splits of a text: answers are not exact here")
    return holds


def _graph_file(manifest: Manifest, directory: Path) -> str:
    graphs = [name for name in manifest.files if name.endswith(".onnx")]
    if len(graphs) != 1:
        raise ManifestError(
            f"The model has {len(graphs)} .onnx files",
            where=str(directory),
            expected="exactly one graph",
            remedy="use an edge model directory",
        )
    return graphs[0]
