"""What an export and the onnxruntime-genai builder are asked for, and what is refused: combinations that are known to
give a broken or useless graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.export.adapter_inputs import check_request
from cloud_worker.forge.export.errors import CombinationRefusedError
from cloud_worker.forge.export.source import check_block

Precision = Literal["fp32", "int8", "int4"]
Algorithm = Literal["default", "rtn", "k_quant", "k_quant_mixed"]
CacheElement = Literal["float32", "int8"]
BLOCKS: Final = (16, 32, 64, 128, 256)
INT8_ARITHMETIC: Final = 4
"""accuracy_level: activations are rounded to int8 inside the kernel."""
FLOAT_ARITHMETIC: Final = 0
"""accuracy_level: activations stay float; allowed, and said in the report: it costs 40 % of the decode speed."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What `edgewise model export` is asked for.

    `precision`: int4, int8, fp32 or a method of the registry; `block`: for int4 and int8, None is the recommended one.
    `hidden_states`: an output beside the logits. `cache`: the element of the key-value cache. `tensors`: each large
    tensor in a file of its own (tensor_files.py); None does so for large graphs. `adapter_rank`: the largest rank of
    low-rank adapters that the graph takes (0: none), for `adapter_modules` (empty: all).
    """

    precision: str = "int4"
    block: int | None = None
    hidden_states: bool = False
    cache: str = "float32"
    tensors: bool | None = None
    adapter_rank: int = 0
    adapter_modules: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises CombinationRefusedError for what no model can be exported with."""
        if self.cache not in get_args(CacheElement):
            raise _refused(
                f"there is no cache of {self.cache[:20]!r} on the CPU", "--kv", " or ".join(get_args(CacheElement))
            )
        if self.block is not None and self.precision not in ("int4", "int8"):
            raise _refused(f"{self.precision[:64]!r} has no block to choose", "--block", "--block with int4 or int8")
        check_request(self.adapter_rank, self.adapter_modules)


@dataclass(frozen=True, kw_only=True)
class BuilderOptions:
    """What the builder is asked for. The head is always pruned: the device form (device_form.py) starts from that."""

    precision: str = "fp32"
    block: int = 64
    symmetric: bool = True
    accuracy_level: int = INT8_ARITHMETIC
    algorithm: Algorithm = "default"
    int8_head: bool = False
    shared_embeddings: bool = True

    def check(self, sizes: ModelSizes) -> None:
        """Raises CombinationRefusedError with the reason, before any work."""
        for why in self._faults(sizes):
            expected = "a combination that gives a graph which loads and answers"
            raise _refused(why, f"builder, {self.precision}", expected)
        if self.precision != "fp32":
            check_block(sizes, self.block)

    def _faults(self, sizes: ModelSizes) -> Iterator[str]:
        if self.precision not in ("fp32", "int8", "int4"):
            yield f"the builder has no {self.precision} graph for the CPU"
        if self.block not in BLOCKS:
            yield f"blocks of {self.block} values have no kernel ({', '.join(map(str, BLOCKS))} have)"
        if self.algorithm.startswith("k_quant") and self.symmetric:
            yield "k_quant rounds on asymmetric grids only"
        if self.accuracy_level not in (FLOAT_ARITHMETIC, INT8_ARITHMETIC):
            yield f"arithmetic of level {self.accuracy_level} was never measured on a CPU (0 is float, 4 is int8)"
        if self.shared_embeddings and self.precision == "int8" and sizes.tie_word_embeddings:
            yield "the builder's int8 keeps a shared embedding in float, so it is larger than int8-block32 by far"
        if sizes.tie_word_embeddings and self.shared_embeddings and self.algorithm == "default":
            yield from self._tied_faults()

    def _tied_faults(self) -> Iterator[str]:
        if self.precision == "int4" and not self.symmetric:
            yield "asymmetric int4 with an embedding shared with the head exports a graph that does not load"
        if self.precision == "int4" and self.int8_head:
            yield "an int8 head on a shared embedding exports a dangling name"

    def arguments(self) -> list[str]:
        """The builder's --extra_options."""
        options = ["prune_lm_head=true", "windowed_kv_cache=false"]
        if self.precision == "fp32":
            return options
        options += [f"block_size={self.block}", f"is_symmetric={str(self.symmetric).lower()}"]
        options += [f"accuracy_level={self.accuracy_level}", f"algo_config={self.algorithm}"]
        if not self.shared_embeddings:
            options.append("shared_embeddings=false")
        return [*options, "matmul_mixed_precision=last_matmul:int8"] if self.int8_head else options


def _refused(why: str, where: str, expected: str) -> CombinationRefusedError:
    return CombinationRefusedError(
        f"These export settings are refused: {why}",
        where=where,
        expected=expected,
        remedy="use the defaults, or another method of `python -m cloud_worker.forge quantize`",
    )
