"""A GpuDecoder from a model directory: a device that can do it, weights tensor by tensor, then room for keys.

The only door to this room: the loader imports it when a device other than the CPU is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from cloud_worker.engine.exactness import BLOCKS_NEEDED, LOOKED_TOKENS, keeps_bits
from cloud_worker.engine.gpu.batch import EXACT, FAST
from cloud_worker.engine.gpu.decoder import GpuDecoder
from cloud_worker.engine.gpu.device import usable_device
from cloud_worker.engine.gpu.graphs import Graphs
from cloud_worker.engine.gpu.look import attention_keeps_bits
from cloud_worker.engine.model.config import ModelConfig
from cloud_worker.engine.model.linear import AS_STORED
from cloud_worker.engine.model.tensors import SafetensorFiles, TensorSource
from cloud_worker.engine.model.weights import build_weights, computed
from cloud_worker.engine.numerics import EngineOptions
from cloud_worker.engine.work import BLOCK_TOKENS
from edgewise.generation.kv_memory import KV_ELEMENTS
from edgewise.wire.errors import ConfigError

_SHARE_OF_FREE: Final = 0.85
"""Of the memory that the weights leave; the rest is for what a step computes, and for captured calls."""
_MIB: Final = 1 << 20


def load_gpu_decoder(
    directory: Path, config: ModelConfig, context: int, options: EngineOptions
) -> tuple[GpuDecoder, bool]:
    """Load the weights onto `options.device`, and look what the kernels do there: the model, and whether it keeps bits.

    Raises ManifestError, ConfigError (a device that cannot do it or does it wrong, too little memory).
    """
    check_options(options)
    device = usable_device(options.device)
    torch.cuda.set_device(device)
    dtype = computed(options.precision)
    source = OnDevice(SafetensorFiles(directory, config.sizes.tensors()), device, dtype)
    weights = build_weights(config, source, dtype)
    free, _ = torch.cuda.mem_get_info(device)
    blocks = kv_blocks(config, context, options, int(free * _SHARE_OF_FREE))
    sizes = EXACT if options.numerics == "exact" else FAST
    decoder = GpuDecoder(config, weights, blocks, readable(context, config), sizes, Graphs())
    return decoder, found_exact(decoder, options.step_tokens)


def readable(context: int, config: ModelConfig) -> int:
    """Tokens of the longest text that a decoder reads: an answer's, or one that exactness.py looks at."""
    return min(max(context, LOOKED_TOKENS), config.sizes.max_position_embeddings)


def found_exact(decoder: GpuDecoder, step_tokens: int = 256) -> bool:
    """Whether a row's bits are its own here. Sizes that follow the rows promise it nowhere.

    Raises ConfigError for kernels that are wrong.
    """
    attention = attention_keeps_bits(decoder)
    return decoder.sizes.fixed and attention and keeps_bits(decoder, step_tokens)


def check_options(options: EngineOptions) -> None:
    """Raises ConfigError for what this path does not compute."""
    if options.weights != AS_STORED:
        raise ConfigError(
            f"On GPUs there are no {options.weights} weights",
            where="weights",
            expected=AS_STORED,
            remedy="serve them with --device cpu, or leave --weights out",
        )


def kv_blocks(config: ModelConfig, context: int, options: EngineOptions, free: int) -> int:
    """Blocks that fit `free` bytes or `kv_cache_mb`, no more than the slots can use. Raises ConfigError where they hold
    not one context, and for a `kv_cache_mb` that does not fit."""
    block = config.kv_bytes(BLOCK_TOKENS, KV_ELEMENTS[options.precision])
    least = max(-(-context // BLOCK_TOKENS), BLOCKS_NEEDED)
    room = free if options.kv_cache_mb is None else options.kv_cache_mb * _MIB
    if room > free:
        raise ConfigError(
            f"{options.kv_cache_mb} MiB of key-value cache do not fit the GPU",
            where="kv_cache_mb",
            expected=f"at most {free // _MIB}, which is what the weights leave",
            remedy="lower it, or leave it out",
        )
    blocks = room // block
    if blocks < least:
        raise ConfigError(
            f"{room // _MIB} MiB of key-value cache hold {blocks * BLOCK_TOKENS} tokens",
            where="kv_cache_mb, or the memory of the GPU that the weights leave",
            expected=f"at least {-(-least * block // _MIB)} MiB, for one context of {context} tokens",
        )
    return blocks if options.kv_cache_mb is not None else min(blocks, 2 * options.slots * least)


class OnDevice:
    """A TensorSource whose tensors are on `device` in `dtype`, each as it is asked for."""

    def __init__(self, source: TensorSource, device: torch.device, dtype: torch.dtype) -> None:
        self._source, self._device, self._dtype = source, device, dtype

    def take(self, name: str) -> Tensor:
        """See TensorSource."""
        return self._source.take(name).to(self._device, self._dtype)
