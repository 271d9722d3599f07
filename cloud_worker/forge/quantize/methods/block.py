"""Weights in blocks along their input width, by ONNX Runtime's own quantizer into MatMulNBits; activations stay float.

`kept8` names matrices (parts of node names) that are rounded to 8 bits in an int4 graph; a tied embedding is looked up
in the head's rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.export.gate_up import fuse_gate_up
from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.export.options import INT8_ARITHMETIC
from cloud_worker.forge.export.source import check_block
from cloud_worker.forge.export.tied import tie_embedding
from cloud_worker.forge.quantize.calibration import CalibrationSet
from cloud_worker.forge.quantize.matrices import matrices
from cloud_worker.forge.quantize.methods.base import FloatModel, Granularity

ATTENTION_AND_HEAD = ("/attn/", "lm_head")


@dataclass(frozen=True, kw_only=True)
class BlockWeights:
    """See QuantizationMethod. Asymmetric graphs keep a float embedding: shared rows have no zero points."""

    bits: int
    block: int
    symmetric: bool = True
    kept8: tuple[str, ...] = ()
    accuracy_level: int = INT8_ARITHMETIC
    static: bool = False
    granularity: Granularity = Granularity.GROUP
    needs_calibration: bool = False

    @property
    def name(self) -> str:
        """int4-block64, int4-block64-asymmetric, int4-block64-attention8, ..."""
        ends = ("" if self.symmetric else "-asymmetric") + ("-attention8" if self.kept8 else "")
        level = "" if self.accuracy_level == INT8_ARITHMETIC else f"-level{self.accuracy_level}"
        return f"int{self.bits}-block{self.block}{ends}{level}"

    def check(self, sizes: ModelSizes) -> None:
        """The block must divide every matrix. Raises CombinationRefusedError."""
        check_block(sizes, self.block)

    def quantize(self, model: FloatModel, calibration: CalibrationSet | None, out: Path) -> Path:
        """Round all matrices; see QuantizationMethod."""
        self.check(model.sizes)
        graph = load_graph(model.graph)
        kept = [name for name in matrices(graph) if any(part in name for part in self.kept8)]
        graph = round_blocks(graph, self.bits, self.block, self.symmetric, self.accuracy_level, skip=kept)
        if kept:
            graph = round_blocks(graph, 8, self.block, self.symmetric, self.accuracy_level)
        tie_embedding(graph)
        fuse_gate_up(graph)
        return save_graph(graph, out)


def round_blocks(
    graph: Any,
    bits: int,
    block: int,
    symmetric: bool,
    accuracy_level: int = INT8_ARITHMETIC,
    skip: list[str] | None = None,
) -> Any:
    """The ModelProto with its float matrices, all but `skip`, replaced by MatMulNBits. Changes `graph`."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer  # type: ignore[import-untyped]

    quantizer = MatMulNBitsQuantizer(
        graph,
        bits=bits,
        block_size=block,
        is_symmetric=symmetric,
        accuracy_level=accuracy_level,
        nodes_to_exclude=skip or [],
    )
    quantizer.process()
    return quantizer.model.model
