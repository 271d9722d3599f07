"""How an engine computes and how much it takes on, and the name of everything that may change a logit's bits.

Engines of equal names continue each other's answers exactly. What that rests on is told in model/ and looked at on each
machine by exactness.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from cloud_worker.engine.work import BLOCK_TOKENS
from edgewise.wire.errors import ConfigError

REVISION = 2
"""Counts changes of the engine's own arithmetic."""
Precision = Literal["float32", "bfloat16"]
Speculation = Literal["auto", "off"]


@dataclass(frozen=True)
class EngineOptions:
    """`slots` answers run at once; a step has at most `step_tokens` rows and prompt tokens; `queue_tokens` may wait.

    `kv_cache_mb` MiB hold keys and values, those that are kept for prompts to come among them; None takes a quarter of
    the memory that is free, but no more than `slots` answers of the longest context need. `speculation` `auto` drafts
    what answers repeat of their own text, where that pays.
    """

    precision: Precision = "float32"
    slots: int = 16
    step_tokens: int = 256
    queue_tokens: int = 1 << 18
    kv_cache_mb: int | None = None
    speculation: Speculation = "auto"

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(
                f"Unknown precision {self.precision!r}", where="precision", expected="float32 or bfloat16"
            )
        if self.speculation not in ("auto", "off"):
            raise ConfigError(f"Unknown speculation {self.speculation!r}", where="speculation", expected="auto or off")
        most = self.step_tokens - BLOCK_TOKENS
        if not 1 <= self.slots <= most:
            raise ConfigError(f"{self.slots} slots do not fit a step", where="slots", expected=f"1..{most}")
        if self.queue_tokens < 1 or (self.kv_cache_mb is not None and self.kv_cache_mb < 1):
            raise ConfigError(
                "The engine's sizes are too small", where="queue_tokens, kv_cache_mb", expected="1 or more"
            )


def numerics_id(options: EngineOptions, kernels: str = "", *, exact: bool = True) -> str:
    """Equal names promise equal logits: torch, revision, processor, threads, precision, and the grid of prompt tiles.

    `kernels` is the digest of what the machine's kernels compute (exactness.py): its name alone does not tell which of
    them run. Without `exact` the id promises nothing, and says so.
    """
    parts = (
        f"torch{torch.__version__}",
        f"r{REVISION}",
        "cpu",
        torch.backends.cpu.get_cpu_capability().lower(),
        f"t{torch.get_num_threads()}",
        options.precision,
        f"tile{BLOCK_TOKENS}",
        *([kernels] if kernels else []),
    )
    return "-".join(parts) + ("" if exact else "/inexact")
