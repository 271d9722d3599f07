"""What is asked of the forge: the kinds of its jobs by their literal names, their payloads and their results.

The control plane refuses a payload that does not fit before there is a row; the forge reads the same shapes. A
ModelRef names a model version's id, or a directory below a root that the forge is configured with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from edgewise.wire.errors import BadRequestError

CAPABILITY: Final = "forge"

_CLEAN = r"^[^\x00-\x1f\x7f]*$"
ModelRef = Annotated[str, Meta(min_length=1, max_length=512, pattern=_CLEAN)]
FileRef = Annotated[str, Meta(max_length=512, pattern=_CLEAN)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
PerCell = Annotated[int, Meta(ge=1, le=1000)]
Tokens = Annotated[int, Meta(ge=1, le=4096)]


class _Payload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of payloads: an unknown field is a slip of the pen, and is said."""


class QuantizePayload(_Payload, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Quantize `model` for devices by `method`: one of the registry, or int4, int8. `calibration`: a JSON lines file,
    for methods that need rows; without it they are drawn from the curriculum. `name`: of the new model."""

    model: ModelRef
    method: Name = "int4"
    calibration: FileRef = ""
    name: Name | None = None


class ExportPayload(_Payload, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Make an ONNX model directory of a trained one, for devices; `precision` as a method that needs no calibration."""

    model: ModelRef
    precision: Name = "fp32"
    name: Name | None = None


class EvaluatePayload(_Payload, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Examine `model` on the curriculum: `per_cell` exercises for each family, grade and language."""

    model: ModelRef
    per_cell: PerCell = 12
    held_out: bool = False
    answer_tokens: Tokens = 420


class ImportPayload(_Payload, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Check, quantize and export a model directory that was made elsewhere; `prompts` is a JSON lines file of the
    user's own, on which the edge version is judged."""

    model: ModelRef
    name: Name
    precision: Name = "int4"
    prompts: FileRef = ""


class TrainPayload(_Payload, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Train the reference models by a recipe, with its tokens multiplied by `scale`. `compile` needs a C++ compiler
    on the forge's machine and makes it faster."""

    recipe: Literal["cpu", "gpu"] = "cpu"
    scale: Annotated[float, Meta(gt=0.0, le=10.0)] = 1.0
    per_cell: PerCell = 12
    answer_tokens: Tokens = 420
    compile: bool = True


class ModelResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished model directory: where it lies, relative to the forge's data directory, and its manifest's id."""

    directory: str
    manifest_id: str
    bytes: int


PAYLOADS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "forge.quantize": QuantizePayload,
    "forge.export": ExportPayload,
    "forge.evaluate": EvaluatePayload,
    "forge.import": ImportPayload,
    "forge.train": TrainPayload,
}


class PayloadInvalidError(BadRequestError):
    """A job's payload does not fit its kind."""

    number, code = 1744, "job_payload_invalid"


def read_payload(kind: str, shape: type[msgspec.Struct], payload: Mapping[str, Any]) -> msgspec.Struct:
    """The payload as a `shape`. Raises PayloadInvalidError."""
    try:
        return msgspec.convert(dict(payload), shape)
    except msgspec.ValidationError as error:
        raise PayloadInvalidError(
            f"The payload does not fit: {error}",
            where=f"payload of {kind}",
            expected=", ".join(_described(field) for field in msgspec.structs.fields(shape)) or "no fields",
            remedy="correct the payload",
        ) from error


def _described(field: msgspec.structs.FieldInfo) -> str:
    return field.name if field.required else f"{field.name} (default {field.default!r})"
