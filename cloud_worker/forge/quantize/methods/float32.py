"""No quantization: the float graph as it is, the row that every other row is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.quantize.calibration import CalibrationSet
from cloud_worker.forge.quantize.methods.base import FloatModel, Granularity


@dataclass(frozen=True)
class Float32:
    """See QuantizationMethod."""

    name: str = "fp32"
    bits: int = 32
    symmetric: bool = True
    static: bool = False
    granularity: Granularity = Granularity.NONE
    needs_calibration: bool = False

    def check(self, sizes: ModelSizes) -> None:
        """Every shape will do."""

    def quantize(self, model: FloatModel, calibration: CalibrationSet | None, out: Path) -> Path:
        """A copy of the float graph."""
        return save_graph(load_graph(model.graph), out)
