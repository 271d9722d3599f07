"""Dynamic int8 by ONNX Runtime: weights rounded once per tensor or per channel, activations in every call by their own
smallest and largest value (MatMulIntegerToFloat)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.quantize.calibration import CalibrationSet
from cloud_worker.forge.quantize.methods.base import FloatModel, Granularity


@dataclass(frozen=True, kw_only=True)
class DynamicInt8:
    """See QuantizationMethod. `symmetric` is about the weights; activations are asymmetric."""

    granularity: Granularity
    symmetric: bool = True
    bits: int = 8
    static: bool = False
    needs_calibration: bool = False

    @property
    def name(self) -> str:
        """int8-dynamic-channel, int8-dynamic-tensor-asymmetric, ..."""
        return f"int8-dynamic-{self.granularity}" + ("" if self.symmetric else "-asymmetric")

    def check(self, sizes: ModelSizes) -> None:
        """Every shape will do."""

    def quantize(self, model: FloatModel, calibration: CalibrationSet | None, out: Path) -> Path:
        """See QuantizationMethod."""
        from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]

        quantize_dynamic(
            model.graph,
            out,
            op_types_to_quantize=["MatMul"],
            per_channel=self.granularity is Granularity.CHANNEL,
            weight_type=QuantType.QInt8 if self.symmetric else QuantType.QUInt8,
            extra_options={"MatMulConstBOnly": True, "WeightSymmetric": self.symmetric},
        )
        return out
