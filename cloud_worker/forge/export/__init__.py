"""From trained weights to a model directory that a device runs: checks, the ONNX graph, the files around it."""

from cloud_worker.forge.export.errors import (
    CheckpointFileError,
    CombinationRefusedError,
    ExportError,
    GraphUnfitError,
    NotEnoughRoomError,
    TokenizerMissingError,
)
from cloud_worker.forge.export.folder import FORMATS, WEIGHTS, assemble, tensors_of, weights_name, write_model_manifest
from cloud_worker.forge.export.options import BuilderOptions
from cloud_worker.forge.export.precision import PRECISIONS, SHIPPED, export_onnx
from cloud_worker.forge.export.source import ModelSource, read_source

__all__ = [
    "FORMATS",
    "PRECISIONS",
    "SHIPPED",
    "WEIGHTS",
    "BuilderOptions",
    "CheckpointFileError",
    "CombinationRefusedError",
    "ExportError",
    "GraphUnfitError",
    "ModelSource",
    "NotEnoughRoomError",
    "TokenizerMissingError",
    "assemble",
    "export_onnx",
    "read_source",
    "tensors_of",
    "weights_name",
    "write_model_manifest",
]
