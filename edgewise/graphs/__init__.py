"""A decoder graph on ONNX Runtime: its form, its session, the cache row that drives it. One home for agent and forge.

What to feed and when (prompts, sampling, speculation) is decided elsewhere. Needs onnxruntime, so the control plane and
the other shared rooms never import it. The form is described in docs/adr/0029.
"""

from edgewise.graphs.adapter import Adapter, AdapterShape
from edgewise.graphs.machine import kernel_id
from edgewise.graphs.row import SPARE_ROWS, TILE_ROWS, CacheRow, KvRows, Logits, RowChoice
from edgewise.graphs.session import DecoderGraph, SessionSettings
from edgewise.graphs.shape import FORM, GraphShape

__all__ = [
    "FORM",
    "SPARE_ROWS",
    "TILE_ROWS",
    "Adapter",
    "AdapterShape",
    "CacheRow",
    "DecoderGraph",
    "GraphShape",
    "KvRows",
    "Logits",
    "RowChoice",
    "SessionSettings",
    "kernel_id",
]
