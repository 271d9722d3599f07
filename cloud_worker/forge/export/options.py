"""Settings of the onnxruntime-genai builder, and the combinations that are known to give a broken or useless graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from cloud_worker.forge.architectures import ModelSizes
from cloud_worker.forge.export.errors import CombinationRefusedError
from cloud_worker.forge.export.source import check_block

Precision = Literal["fp32", "int8", "int4"]
Algorithm = Literal["default", "rtn", "k_quant", "k_quant_mixed"]
BLOCKS: Final = (16, 32, 64, 128, 256)
INT8_ARITHMETIC: Final = 4
"""accuracy_level: activations are rounded to int8 inside the kernel; level 0 costs 40 % of the decode speed."""


@dataclass(frozen=True, kw_only=True)
class BuilderOptions:
    """What the builder is asked for. `pruned_head`: logits of the last row only (off for verifying drafts)."""

    precision: str = "fp32"
    block: int = 64
    symmetric: bool = True
    accuracy_level: int = INT8_ARITHMETIC
    algorithm: Algorithm = "default"
    int8_head: bool = False
    shared_embeddings: bool = True
    pruned_head: bool = True

    def check(self, sizes: ModelSizes) -> None:
        """Raises CombinationRefusedError with the reason, before any work."""
        for why in self._faults(sizes):
            raise CombinationRefusedError(
                f"These export settings are refused: {why}",
                where=f"builder, {self.precision}",
                expected="a combination that gives a graph which loads and answers",
                remedy="use the defaults, or another method of `python -m cloud_worker.forge quantize`",
            )
        if self.precision != "fp32":
            check_block(sizes, self.block)

    def _faults(self, sizes: ModelSizes) -> Iterator[str]:
        if self.precision not in ("fp32", "int8", "int4"):
            yield f"the builder has no {self.precision} graph for the CPU"
        if self.block not in BLOCKS:
            yield f"blocks of {self.block} values have no kernel ({', '.join(map(str, BLOCKS))} have)"
        if self.algorithm.startswith("k_quant") and self.symmetric:
            yield "k_quant rounds on asymmetric grids only"
        if sizes.tie_word_embeddings and self.shared_embeddings and self.algorithm == "default":
            yield from self._tied_faults()

    def _tied_faults(self) -> Iterator[str]:
        if self.precision == "int4" and not self.symmetric:
            yield "asymmetric int4 with an embedding shared with the head exports a graph that does not load"
        if self.precision == "int4" and self.int8_head:
            yield "an int8 head on a shared embedding exports a dangling name"

    def arguments(self) -> list[str]:
        """The builder's --extra_options."""
        options = [f"prune_lm_head={str(self.pruned_head).lower()}"]
        if self.precision == "fp32":
            return options
        options += [f"block_size={self.block}", f"is_symmetric={str(self.symmetric).lower()}"]
        options += [f"accuracy_level={self.accuracy_level}", f"algo_config={self.algorithm}"]
        if not self.shared_embeddings:
            options.append("shared_embeddings=false")
        return [*options, "matmul_mixed_precision=last_matmul:int8"] if self.int8_head else options
