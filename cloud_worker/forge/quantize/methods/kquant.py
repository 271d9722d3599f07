"""int4 in blocks with llama.cpp's k-quant search for scale and zero point (ONNX Runtime's); always asymmetric."""

from __future__ import annotations

from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.export.gate_up import fuse_gate_up
from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.export.options import INT8_ARITHMETIC
from cloud_worker.forge.export.source import check_block
from cloud_worker.forge.quantize.calibration import CalibrationSet
from cloud_worker.forge.quantize.matrices import matrices
from cloud_worker.forge.quantize.methods.base import FloatModel, Granularity


@dataclass(frozen=True, kw_only=True)
class KQuant:
    """See QuantizationMethod. `kept8` as in block.py."""

    block: int = 32
    kept8: tuple[str, ...] = ()
    bits: int = 4
    symmetric: bool = False
    static: bool = False
    granularity: Granularity = Granularity.GROUP
    needs_calibration: bool = False

    @property
    def name(self) -> str:
        """int4-kquant-block32, int4-kquant-block32-attention8."""
        return f"int4-kquant-block{self.block}" + ("-attention8" if self.kept8 else "")

    def check(self, sizes: ModelSizes) -> None:
        """The block must divide every matrix. Raises CombinationRefusedError."""
        check_block(sizes, self.block)

    def quantize(self, model: FloatModel, calibration: CalibrationSet | None, out: Path) -> Path:
        """See QuantizationMethod."""
        from onnxruntime.quantization.matmul_nbits_quantizer import (  # type: ignore[import-untyped]
            KQuantWeightOnlyQuantConfig,
            MatMulNBitsQuantizer,
        )

        self.check(model.sizes)
        graph = load_graph(model.graph)
        higher = {name: {"bits": 8} for name in matrices(graph) if any(part in name for part in self.kept8)}
        quantizer = MatMulNBitsQuantizer(
            graph,
            block_size=self.block,
            accuracy_level=INT8_ARITHMETIC,
            algo_config=KQuantWeightOnlyQuantConfig(customized_weight_config=higher),
        )
        with redirect_stdout(StringIO()):  # the library draws a progress bar of its own
            quantizer.process()
        rounded = quantizer.model.model
        fuse_gate_up(rounded)
        return save_graph(rounded, out)
