"""What can be wrong with a model directory, its export or its quantization; each says what, where, expected, remedy."""

from __future__ import annotations

from edgewise.wire.errors import BadRequestError, ConfigError


class ExportError(ConfigError):
    """The ONNX builder failed; carries the end of what it printed."""

    number, code = 1860, "export_failed"


class CheckpointFileError(BadRequestError):
    """A safetensors file that is damaged, incomplete, or not of the model that config.json describes."""

    number, code = 1861, "checkpoint_invalid"


class TokenizerMissingError(BadRequestError):
    """A model directory without a tokenizer, end token or chat template that can be used."""

    number, code = 1862, "tokenizer_unfit"


class CombinationRefusedError(BadRequestError):
    """Export settings that are known to give a broken or useless graph, or that the model's shape forbids."""

    number, code = 1863, "export_settings_refused"


class NotEnoughRoomError(ConfigError):
    """Too little disk or memory for the work ahead."""

    number, code = 1864, "not_enough_room"


class GraphUnfitError(BadRequestError):
    """A graph that ONNX Runtime refuses, or that is no decoder."""

    number, code = 1865, "graph_unfit"
