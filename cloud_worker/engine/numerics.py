"""How an engine computes and how much it takes on, and the name of everything that may change a logit's bits.

Engines of equal names continue each other's answers exactly. What that rests on is told in model/ and looked at on each
machine by exactness.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

import torch

from cloud_worker.engine.model.linear import AS_STORED, KINDS
from cloud_worker.engine.work import BLOCK_TOKENS
from edgewise.wire.errors import ConfigError

REVISION = 3
"""Counts changes of the engine's own arithmetic."""
Precision = Literal["float32", "bfloat16"]
WeightKind = Literal["as-stored", "int8", "int8-dynamic", "int4"]
Speculation = Literal["auto", "off"]
Numerics = Literal["exact", "fast"]


@dataclass(frozen=True)
class EngineOptions:
    """`slots` answers run at once; a step has at most `step_tokens` rows and prompt tokens; `queue_tokens` may wait.

    `kv_cache_mb` MiB hold keys and values, those that are kept for prompts to come among them; None takes a quarter of
    the memory that is free, but no more than `slots` answers of the longest context need. `speculation` `auto` drafts
    what answers repeat of their own text, where that pays. `weights` other than `as-stored` are rounded when they are
    loaded (model/linear.py), and `precision` is what all else is computed in. `numerics` `fast` is for GPUs alone, and
    promises no bits.
    """

    precision: Precision = "float32"
    weights: WeightKind = "as-stored"
    slots: int = 16
    step_tokens: int = 256
    queue_tokens: int = 1 << 18
    kv_cache_mb: int | None = None
    speculation: Speculation = "auto"
    device: str = "cpu"
    numerics: Numerics = "exact"

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(
                f"Unknown precision {self.precision!r}", where="precision", expected="float32 or bfloat16"
            )
        if self.weights not in KINDS:
            raise ConfigError(
                f"Unknown weights {self.weights!r}", where="weights", expected=f"one of {', '.join(KINDS)}"
            )
        if self.numerics not in ("exact", "fast") or (self.numerics == "fast" and self.device == "cpu"):
            raise ConfigError(
                f"There are no {self.numerics!r} numerics on {self.device}",
                where="numerics",
                expected="exact; on a GPU also fast, which promises no bits",
            )
        if self.weights != AS_STORED and self.device != "cpu":
            raise ConfigError(
                f"There are no {self.weights} weights on {self.device}", where="weights", expected="as-stored on a GPU"
            )
        if self.weights == "int4" and self.precision != "bfloat16":
            raise ConfigError(
                "The kernel of int4 weights is made for bfloat16, and ten times slower in float32",
                where="weights, precision",
                expected="bfloat16 beside int4",
                remedy="choose the precision bfloat16, or int8 weights",
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
    """Equal names promise equal logits: torch, revision, machine, threads, precision, weights and grid of tiles.

    `kernels` is the digest of what the machine's kernels compute (exactness.py): its name alone does not tell which of
    them run. Without `exact` the id promises nothing, and says so.
    """
    parts = (
        f"torch{torch.__version__}",
        f"r{REVISION}",
        *_machine(options),
        options.precision,
        *([options.weights] if options.weights != AS_STORED else []),
        f"tile{BLOCK_TOKENS}",
        *([kernels] if kernels else []),
    )
    return "-".join(parts) + ("" if exact else "/inexact")


def _machine(options: EngineOptions) -> tuple[str, ...]:
    """What computes: a processor and its threads, or a GPU with its compiler of kernels."""
    if options.device == "cpu":
        return "cpu", torch.backends.cpu.get_cpu_capability().lower(), f"t{torch.get_num_threads()}"
    major, minor = torch.cuda.get_device_capability(options.device)
    return "cuda", f"sm{major}{minor}", f"triton{version('triton')}", options.numerics
