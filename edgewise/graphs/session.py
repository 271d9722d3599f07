"""A decoder graph in memory, ready to run: session options for small machines, and the prepacked copy where there is
one. Buffers are row.py's, the copy is prepacked.py's."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort  # type: ignore[import-untyped]

from edgewise.graphs.adapter import Adapter
from edgewise.graphs.machine import PROVIDER
from edgewise.graphs.prepacked import PrepackedStore
from edgewise.graphs.row import CacheRow
from edgewise.graphs.shape import GraphShape, inspect_graph
from edgewise.wire.errors import ManifestError

_ERRORS_ONLY = 3
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SessionSettings:
    """How a graph is run.

    One thread that does not spin by default: with both cores busy, two spinning threads were half as fast as one quiet
    thread. `prepacked`: where this machine keeps weights in the order that its kernels read; None packs at every load.
    """

    threads: int = 1
    spinning: bool = False
    prepacked: PrepackedStore | None = None


class DecoderGraph:
    """A loaded graph. Thread-safe to run, but a CacheRow belongs to one thread."""

    def __init__(self, session: ort.InferenceSession, path: Path, settings: SessionSettings) -> None:
        self.session = session
        self.path = path
        self.settings = settings
        self.shape: GraphShape = inspect_graph(session, path)
        self.bare = Adapter.none(self.shape.adapter, self.shape.layers)

    @classmethod
    def load(cls, path: Path, settings: SessionSettings | None = None, digest: str = "") -> DecoderGraph:
        """Load a graph file; `digest` names its content (and that of its data file) for the prepacked copy.

        Raises ManifestError for a file that ONNX Runtime refuses or that is no decoder of our form. A prepacked copy
        that cannot be made or read is no error: the file itself is loaded.
        """
        settings = settings or SessionSettings()
        if settings.prepacked and digest and (packed := settings.prepacked.find_or_make(path, digest)):
            try:
                return cls(_open(packed, settings), path, settings)
            except ManifestError as error:
                logger.warning("the prepacked copy is dropped: %s", error)
                settings.prepacked.drop(packed)
        return cls(_open(path, settings), path, settings)

    def new_row(self, capacity: int) -> CacheRow:
        """Buffers for one sequence of at most `capacity` tokens, without an adapter (see CacheRow.use)."""
        return CacheRow(self.session, self.shape, capacity, self.bare)


def _open(path: Path, settings: SessionSettings) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if settings.spinning else "0")
    try:
        return ort.InferenceSession(str(path), options, providers=[PROVIDER])
    except Exception as error:
        raise ManifestError(
            f"ONNX Runtime does not load {path.name}: {str(error)[:300]}",
            where=str(path),
            expected="an ONNX graph for this version of ONNX Runtime",
            remedy="export the model again, or copy the model directory again",
        ) from error
