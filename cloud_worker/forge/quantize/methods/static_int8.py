"""Static int8 by ONNX Runtime: weights and activations on grids that are fixed beforehand, from our calibrated ranges.

The ranges reach quantize_static as its calibration cache, so that its own calibrators do not run a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.export.graphs import load_graph
from cloud_worker.forge.quantize.calibration import CalibrationSet, CalibrationSetError
from cloud_worker.forge.quantize.histogram import Histogram
from cloud_worker.forge.quantize.matrices import matrices
from cloud_worker.forge.quantize.methods.base import FloatModel, Granularity
from cloud_worker.forge.quantize.observe import observed
from cloud_worker.forge.quantize.ranges import Range, minmax, mse_optimal, percentile

RANGES: Final = ("minmax", "percentile", "mse")


@dataclass(frozen=True, kw_only=True)
class StaticInt8:
    """See QuantizationMethod. `symmetric` is about the activations; weights always are. `kept_float` names matrices
    (parts of node names) that are left alone."""

    granularity: Granularity
    ranges: str
    symmetric: bool = False
    kept_float: tuple[str, ...] = ()
    bits: int = 8
    static: bool = True
    needs_calibration: bool = True

    @property
    def name(self) -> str:
        """int8-static-channel-mse, int8-static-tensor-minmax-symmetric, ..."""
        return f"int8-static-{self.granularity}-{self.ranges}" + ("-symmetric" if self.symmetric else "")

    def check(self, sizes: ModelSizes) -> None:
        """Every shape will do."""

    def quantize(self, model: FloatModel, calibration: CalibrationSet | None, out: Path) -> Path:
        """See QuantizationMethod."""
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static  # type: ignore[import-untyped]

        if calibration is None or not calibration.rows:
            raise _missing(self.name)
        histograms = observed(model, calibration, model.graph.stat().st_mtime_ns)
        found = {name: self.range_of(seen) for name, seen in histograms.items()}
        every = matrices(load_graph(model.graph))
        quantize_static(
            model.graph,
            out,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=[name for name in every if any(part in name for part in self.kept_float)],
            per_channel=self.granularity is Granularity.CHANNEL,
            activation_type=QuantType.QInt8 if self.symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "MatMulConstBOnly": True,
                "ActivationSymmetric": self.symmetric,
                "OpTypesToExcludeOutputQuantization": ["MatMul"],
            },
            calibration_cache_path=_cache(found, model.work / f"{self.name}.json"),
        )
        return out

    def range_of(self, seen: Histogram) -> Range:
        """The range that the method reads from a histogram."""
        if self.ranges == "mse":
            return mse_optimal(seen, self.bits, self.symmetric)
        return percentile(seen) if self.ranges == "percentile" else minmax(seen)


def _cache(found: dict[str, Range], path: Path) -> Path:
    """The ranges in the file format of ONNX Runtime's calibration cache."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data  # type: ignore[import-untyped]

    data: dict[str, Any] = {name: tuple(np.array(end, np.float32) for end in ends) for name, ends in found.items()}
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), path)
    return path


def _missing(name: str) -> CalibrationSetError:
    return CalibrationSetError(
        f"{name} needs calibration rows and was given none",
        where="calibration set",
        expected="rows of the curriculum's mix",
        remedy="give --calibration FILE, or leave it out to draw them from the curriculum",
    )
