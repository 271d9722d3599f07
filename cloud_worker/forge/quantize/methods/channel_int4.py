"""int4 weights with one scale for each output channel, by ONNX Runtime's quantizer (DequantizeLinear before MatMul)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.quantize.calibration import CalibrationSet
from cloud_worker.forge.quantize.methods.base import FloatModel, Granularity


@dataclass(frozen=True, kw_only=True)
class ChannelInt4:
    """See QuantizationMethod. Small on disk; ONNX Runtime's CPU kernels widen the weights to float."""

    bits: int = 4
    symmetric: bool = True
    static: bool = False
    granularity: Granularity = Granularity.CHANNEL
    needs_calibration: bool = False

    @property
    def name(self) -> str:
        """int4-channel."""
        return "int4-channel"

    def check(self, sizes: ModelSizes) -> None:
        """Every shape will do."""

    def quantize(self, model: FloatModel, calibration: CalibrationSet | None, out: Path) -> Path:
        """See QuantizationMethod."""
        from onnxruntime.quantization import QuantFormat  # type: ignore[import-untyped]
        from onnxruntime.quantization.matmul_nbits_quantizer import (  # type: ignore[import-untyped]
            MatMulNBitsQuantizer,
        )

        quantizer = MatMulNBitsQuantizer(
            load_graph(model.graph), is_symmetric=True, quant_format=QuantFormat.QDQ, channel_wised_quantize=True
        )
        quantizer.process()
        return save_graph(quantizer.model.model, out)
