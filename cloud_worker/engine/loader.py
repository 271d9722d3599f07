"""From a model directory to a TorchEngine: every file checked against the manifest first, every fault typed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.exactness import BLOCKS_NEEDED, keeps_bits
from cloud_worker.engine.model.base import Model
from cloud_worker.engine.model.config import ModelConfig, load_config
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.model.weights import load_weights
from cloud_worker.engine.numerics import EngineOptions
from cloud_worker.engine.speculation.drafting import Source
from cloud_worker.engine.speculation.goodput import Chooser
from cloud_worker.engine.speculation.model_drafter import ModelDrafter
from cloud_worker.engine.speculation.speculator import Speculator
from cloud_worker.engine.speculation.step_costs import StepCosts
from cloud_worker.engine.work import BLOCK_TOKENS
from edgewise.generation.kv_memory import KV_ELEMENTS
from edgewise.speculation import NgramDrafter
from edgewise.wire.errors import ConfigError, ManifestError, ModelDigestError
from edgewise.wire.manifest import Manifest, load_manifest

FORMAT = "safetensors"
"""What a manifest for this engine says in `format`."""
_SHARE_OF_FREE = 4
_MIB = 1 << 20
LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""torch's variable for large pages under large tensors; it is looked at once, before the first tensor of a process."""
logger = logging.getLogger(__name__)


def load_engine(directory: Path, options: EngineOptions | None = None, draft: Path | None = None) -> TorchEngine:
    """Load a model directory (manifest.json, config.json, safetensors, tokenizer and template), and that of a small
    model of the same tokenizer which drafts for it.

    Raises ModelMissingError, ModelDigestError, ManifestError, ConfigError (a cache that holds not one context).
    """
    manifest = _checked(directory)
    if manifest.context_tokens < 2:
        raise ManifestError(
            "The manifest leaves no room for an answer", where=str(directory), expected="context_tokens ≥ 2"
        )
    if draft is not None:
        _check_draft(_checked(draft), manifest, draft)
    return load_model(directory, manifest, options or EngineOptions(), draft)


def load_model(directory: Path, manifest: Manifest, options: EngineOptions, draft: Path | None = None) -> TorchEngine:
    """The engine for a directory that `manifest` describes; no files are compared. Raises as load_engine.

    Weights ask for large pages where nobody said otherwise (ADR 0041): every step reads all of them.
    """
    os.environ.setdefault(LARGE_PAGES, "1")
    config = load_config(directory)
    decoder, exact = _decoder(directory, config, manifest.context_tokens, options)
    if not exact and options.numerics == "exact":
        logger.warning("this machine's kernels give a token other bits in other company: answers are not exact here")
    speculator = None
    if options.speculation == "auto":
        speculator = load_speculator(draft, options, decoder.kv.blocks, promised=decoder.kv.size_bytes)
    return TorchEngine(decoder, manifest, options, exact=exact, speculator=speculator)


def _decoder(directory: Path, config: ModelConfig, context: int, options: EngineOptions) -> tuple[Model, bool]:
    """The model on its device, and whether it was found to keep bits."""
    if options.device != "cpu":
        from cloud_worker.engine.gpu.loading import load_gpu_decoder

        return load_gpu_decoder(directory, config, context, options)
    weights = load_weights(directory, config, options.precision, options.weights)
    decoder = Decoder(config, weights, kv_blocks(config, context, options, _free_bytes()))
    return decoder, keeps_bits(decoder, options.step_tokens)


def load_speculator(
    draft: Path | None, options: EngineOptions, target_blocks: int, chooser: Chooser | None = None, promised: int = 0
) -> Speculator:
    """Drafts from the texts themselves, which cost nothing, then those of a small model, if there is one.

    `target_blocks` are those of the large one's store, `promised` its bytes that still look free: a store takes memory
    as it is written. Raises ManifestError, ConfigError.
    """
    sources, costs = [Source("ngram", NgramDrafter())], StepCosts()
    drafting = StepCosts(beside=costs)
    if draft is not None:
        sources.append(Source("draft", _drafter(draft, options, target_blocks, drafting, promised), priced=True))
    return Speculator(sources, costs, drafting, chooser)


def _drafter(
    directory: Path, options: EngineOptions, target_blocks: int, costs: StepCosts, promised: int
) -> ModelDrafter:
    """Room for as many tokens as the large model has, within its share of memory; where it ends, so do drafts."""
    if options.device != "cpu":
        raise ConfigError(
            f"A draft model is not there yet on {options.device}", where="--draft-model", remedy="leave it out"
        )
    config = load_config(directory)
    weights = load_weights(directory, config, options.precision, options.weights)
    block = config.kv_bytes(BLOCK_TOKENS, KV_ELEMENTS[options.precision])
    blocks = min(target_blocks, (_free_bytes() - promised) // _SHARE_OF_FREE // block)
    if blocks < 1:
        raise ConfigError(
            "There is no memory for what the draft model reads",
            where="--draft-model",
            expected=f"{_SHARE_OF_FREE * block} bytes that the models and {promised // _MIB} MiB of keys leave",
            remedy="leave it out, or lower kv_cache_mb",
        )
    sizes = config.sizes
    return ModelDrafter(
        Decoder(config, weights, blocks),
        blocks=blocks,
        context_tokens=sizes.max_position_embeddings,
        vocab_size=sizes.vocab_size,
        costs=costs,
    )


def _checked(directory: Path) -> Manifest:
    """Its manifest, every file compared with it. Raises as load_engine."""
    manifest = load_manifest(directory)
    if manifest.format != FORMAT:
        raise ManifestError(
            f"The model {manifest.name} is in format {manifest.format}", where=str(directory), expected=FORMAT
        )
    return manifest


def _check_draft(draft: Manifest, target: Manifest, directory: Path) -> None:
    if draft.tokenizer_digest != target.tokenizer_digest:
        raise ModelDigestError(
            f"The tokenizer of {draft.name} is not that of {target.name}: its drafts would be other words",
            where=str(directory),
            expected=f"sha256 {target.tokenizer_digest[:12]}…, found {draft.tokenizer_digest[:12]}…",
            remedy="name a draft model of the same family, or none",
        )


def kv_blocks(config: ModelConfig, context_tokens: int, options: EngineOptions, free: int) -> int:
    """Blocks of the key-value store, of `free` bytes that the weights leave.

    Raises ConfigError where these or `kv_cache_mb` hold not one context, and for a `kv_cache_mb` that is not there.
    """
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
    else:
        blocks = max(least, min(free // _SHARE_OF_FREE // block, options.slots * context))
    if blocks * block > free:
        raise ConfigError(
            f"{blocks * BLOCK_TOKENS} tokens of key-value cache do not fit the memory that is free",
            where="kv_cache_mb",
            expected=f"at most {free // _MIB} MiB, and at least {-(-least * block // _MIB)}",
            remedy="free memory, or serve with less context or a smaller cache",
        )
    return blocks


def _free_bytes() -> int:
    return int(psutil.virtual_memory().available)
