"""Methods that one could ask for and no library here does: rows with a reason instead of figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.export.errors import CombinationRefusedError
from cloud_worker.forge.quantize.calibration import CalibrationSet
from cloud_worker.forge.quantize.methods.base import FloatModel, Granularity


@dataclass(frozen=True, kw_only=True)
class Impossible:
    """See QuantizationMethod; `reason` is what the table shows."""

    name: str
    reason: str
    bits: int = 4
    symmetric: bool = True
    static: bool = False
    granularity: Granularity = Granularity.TENSOR
    needs_calibration: bool = False

    def check(self, sizes: ModelSizes) -> None:
        """Raises CombinationRefusedError, always."""
        raise CombinationRefusedError(
            f"{self.name} cannot be made: {self.reason}",
            where="method",
            expected="a method that ONNX Runtime has a CPU kernel for",
            remedy="choose another row of the table",
        )

    def quantize(self, model: FloatModel, calibration: CalibrationSet | None, out: Path) -> Path:
        """Raises CombinationRefusedError."""
        self.check(model.sizes)
        return out
