"""From a model directory to a TorchEngine: every file checked against the manifest first, every fault typed."""

from __future__ import annotations

import logging
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.exactness import BLOCKS_NEEDED, keeps_bits
from cloud_worker.engine.model.config import ModelConfig, load_config
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.numerics import EngineOptions
from cloud_worker.engine.speculation.drafting import Source
from cloud_worker.engine.speculation.speculator import Speculator
from cloud_worker.engine.work import BLOCK_TOKENS
from edgewise.generation.kv_memory import KV_ELEMENTS
from edgewise.speculation import NgramDrafter
from edgewise.wire.errors import ConfigError, ManifestError
from edgewise.wire.manifest import Manifest, load_manifest

FORMAT = "safetensors"
"""What a manifest for this engine says in `format`."""
_SHARE_OF_FREE = 4
_MIB = 1 << 20
logger = logging.getLogger(__name__)


def load_engine(directory: Path, options: EngineOptions | None = None) -> TorchEngine:
    """Load a model directory (manifest.json, config.json, safetensors, tokenizer and template).

    Raises ModelMissingError, ModelDigestError, ManifestError, ConfigError (a cache that holds not one context).
    """
    manifest = load_manifest(directory)
    if manifest.format != FORMAT:
        raise ManifestError(
            f"The model {manifest.name} is in format {manifest.format}", where=str(directory), expected=FORMAT
        )
    if manifest.context_tokens < 2:
        raise ManifestError(
            "The manifest leaves no room for an answer", where=str(directory), expected="context_tokens ≥ 2"
        )
    return load_model(directory, manifest, options or EngineOptions())


def load_model(directory: Path, manifest: Manifest, options: EngineOptions) -> TorchEngine:
    """The engine for a directory that `manifest` describes; its files are not compared. Raises as load_engine."""
    config = load_config(directory)
    decoder = Decoder.load(directory, options.precision, kv_blocks(config, manifest.context_tokens, options))
    exact = keeps_bits(decoder)
    if not exact:
        logger.warning("this machine's kernels give a token other bits in other company: answers are not exact here")
    speculator = Speculator([Source("ngram", NgramDrafter())]) if options.speculation == "auto" else None
    return TorchEngine(decoder, manifest, options, exact=exact, speculator=speculator)


def kv_blocks(config: ModelConfig, context_tokens: int, options: EngineOptions) -> int:
    """Blocks of the key-value store. Raises ConfigError where `kv_cache_mb` holds not one context."""
    element = KV_ELEMENTS[options.precision]
    block = config.kv_bytes(BLOCK_TOKENS, element)
    context = -(-context_tokens // BLOCK_TOKENS)
    least = max(context, BLOCKS_NEEDED)
    if options.kv_cache_mb is not None:
        blocks = options.kv_cache_mb * _MIB // block
        if blocks < least:
            raise ConfigError(
                f"{options.kv_cache_mb} MiB of key-value cache hold {blocks * BLOCK_TOKENS} tokens",
                where="kv_cache_mb",
                expected=f"at least {-(-least * block // _MIB)}, for one context of {context_tokens} tokens",
            )
        return blocks
    free = int(psutil.virtual_memory().available) // _SHARE_OF_FREE // block
    return max(least, min(free, options.slots * context))
