"""What a quantization method is: its facts, whether it fits a model, and the graph that it makes. Rows: registry.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.quantize.calibration import CalibrationSet


class Granularity(StrEnum):
    """How many values share one scale."""

    NONE = "none"
    TENSOR = "tensor"
    CHANNEL = "channel"
    GROUP = "group"


@dataclass(frozen=True)
class FloatModel:
    """What methods start from: the Hugging Face directory, its tokenizer file, the float graph, the sizes.

    `work` is a folder for pieces; whoever made it removes it.
    """

    directory: Path
    tokenizer_file: Path
    graph: Path
    sizes: ModelSizes
    work: Path


class QuantizationMethod(Protocol):
    """One row of the registry. `bits` are those of most weights; `static`: activation ranges are fixed beforehand."""

    @property
    def name(self) -> str: ...
    @property
    def bits(self) -> int: ...
    @property
    def symmetric(self) -> bool: ...
    @property
    def static(self) -> bool: ...
    @property
    def granularity(self) -> Granularity: ...
    @property
    def needs_calibration(self) -> bool: ...

    def check(self, sizes: ModelSizes) -> None:
        """Raises CombinationRefusedError, before any work, when the method cannot do such a model."""
        ...

    def quantize(self, model: FloatModel, calibration: CalibrationSet | None, out: Path) -> Path:
        """Write the graph to `out` and return it.

        Raises CombinationRefusedError, CalibrationSetError where calibration is needed and missing, ExportError.
        """
        ...
