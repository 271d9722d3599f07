"""int4 by the onnxruntime-genai builder itself, straight from the weights: its plain rounding, or its mixed recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.export.builder import build
from cloud_worker.forge.export.options import BuilderOptions
from cloud_worker.forge.quantize.calibration import CalibrationSet
from cloud_worker.forge.quantize.methods.base import FloatModel, Granularity


@dataclass(frozen=True, kw_only=True)
class BuilderInt4:
    """See QuantizationMethod."""

    name: str
    options: BuilderOptions
    bits: int = 4
    static: bool = False
    granularity: Granularity = Granularity.GROUP
    needs_calibration: bool = False

    @property
    def symmetric(self) -> bool:
        """As the builder is told."""
        return self.options.symmetric

    def check(self, sizes: ModelSizes) -> None:
        """Raises CombinationRefusedError for settings that are known to be broken."""
        self.options.check(sizes)

    def quantize(self, model: FloatModel, calibration: CalibrationSet | None, out: Path) -> Path:
        """See QuantizationMethod."""
        self.check(model.sizes)
        return build(model.directory, model.tokenizer_file, model.work / self.name, self.options, out)
