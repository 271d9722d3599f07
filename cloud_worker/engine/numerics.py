"""What may change a logit's bits, in one name, and the row padding that keeps them the same whatever the batch.

Measured on torch 2.13 (AVX-512, one thread): a row of a linear layer has the same bits for every row count of at least
4, and element-wise kernels treat all elements alike when their number is a multiple of 32; so decode rows are padded
to a multiple of 4 (model widths are multiples of 8). With several threads, element-wise kernels over more than 32,768
values are cut between threads and may lose this. On a GPU the kernel follows the row count, so there is only one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from edgewise.wire.errors import ConfigError

REVISION = 1
"""Counts changes of the engine's own arithmetic."""
CPU_ROW_MULTIPLE = 4
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class EngineOptions:
    """How a TorchEngine computes and how much it takes on.

    `chunk_tokens` is the grid on which prompts are prefilled, `max_rows` the most decode rows of one step (replayed
    tokens included); `slots` sequences run at once, `max_queue` more wait. `prefix_cache_mb` MiB of the beginnings of
    prompts are kept for prompts to come.
    """

    device: str = "cpu"
    precision: Precision = "float32"
    slots: int = 8
    max_queue: int = 64
    chunk_tokens: int = 128
    max_rows: int = 64
    prefix_cache_mb: int = 64

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(
                f"Unknown precision {self.precision!r}", where="precision", expected="float32 or bfloat16"
            )
        if not 1 <= self.slots <= self.max_rows:
            raise ConfigError(f"{self.slots} slots do not fit", where="slots", expected=f"1..{self.max_rows}")
        if self.max_rows % CPU_ROW_MULTIPLE or self.chunk_tokens < 1 or min(self.max_queue, self.prefix_cache_mb) < 0:
            raise ConfigError("The engine's sizes do not fit together", where="max_rows, chunk_tokens, max_queue")

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    @property
    def on_cpu(self) -> bool:
        return torch.device(self.device).type == "cpu"

    def padded_rows(self, rows: int) -> int:
        """How many rows a decode step with `rows` true ones computes."""
        if not self.on_cpu:
            return self.max_rows
        return -(-rows // CPU_ROW_MULTIPLE) * CPU_ROW_MULTIPLE


def numerics_id(options: EngineOptions) -> str:
    """Equal names promise equal logits: torch, engine revision, device and kernels, precision, chunk grid, padding."""
    return "-".join(
        (
            f"torch{torch.__version__}",
            f"r{REVISION}",
            *_machine(options),
            options.precision,
            f"chunk{options.chunk_tokens}",
            f"rows{options.padded_rows(1)}",
        )
    )


def _machine(options: EngineOptions) -> tuple[str, ...]:
    if options.on_cpu:
        return ("cpu", torch.backends.cpu.get_cpu_capability().lower(), f"t{torch.get_num_threads()}")
    return ("cuda", torch.cuda.get_device_name(options.device).replace(" ", "_"))
