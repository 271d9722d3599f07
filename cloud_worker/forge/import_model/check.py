"""Everything that can be wrong with a model from outside, found before the work begins; else it is a Candidate."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_worker.architectures import CONFIG_FILE, ConfigJsonError, ModelSizes, read_config
from cloud_worker.engine.model.config import parse_config
from cloud_worker.forge.export import ModelSource, read_source
from cloud_worker.forge.export.precision import uncalibrated
from cloud_worker.forge.export.room import Free, check_room, disk_free, memory_free
from cloud_worker.forge.export.template import unended
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.errors import ManifestError
from edgewise.wire.manifest import TOKENIZER_FILE

CONTEXT_TOKENS: Final = 4096
CLASSES: Final = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


@dataclass(frozen=True)
class Candidate:
    """A checked model: where it is, its config, its template and tokenizer as our runtimes take them.

    `digest` names the directory's state: config, tokenizer and every tensor's place, with sizes and times of files.
    `cloud_fault` says why our cloud engine cannot run it yet; empty when it can.
    """

    source: ModelSource
    config: dict[str, Any]
    template: str
    tokenizer: ChatTokenizer
    context_tokens: int
    digest: str
    cloud_fault: str
    warnings: tuple[str, ...]

    @property
    def sizes(self) -> ModelSizes:
        """The sizes of config.json."""
        return self.source.sizes

    @property
    def tokenizer_file(self) -> Path:
        """The user's tokenizer.json."""
        return self.source.directory / TOKENIZER_FILE


def check(
    directory: Path,
    precision: str,
    out: Path,
    context_tokens: int = CONTEXT_TOKENS,
    disk: Free = disk_free,
    memory: Free = memory_free,
) -> Candidate:
    """Look at everything before anything is made of it.

    Raises ConfigJsonError, CheckpointFileError, TokenizerMissingError, ConfigError (a tokenizer that cannot be
    streamed), CombinationRefusedError (a shape that the precision cannot divide), CalibrationSetError (a precision
    that needs one), NotEnoughRoomError.
    """
    raw = read_config(directory)
    _check_class(raw, directory)
    source = read_source(directory)
    uncalibrated(precision, source.sizes)
    check_room(source.sizes.parameters, out, disk, memory)
    template = source.speech.template
    warning = unended((directory / TOKENIZER_FILE).read_bytes(), template, source.speech.eos_ids)
    return Candidate(
        source=source,
        config=_explicit(raw, source.sizes),
        template=template,
        tokenizer=source.chat,
        context_tokens=min(context_tokens, source.sizes.max_position_embeddings),
        digest=_digest(source, raw, template),
        cloud_fault=cloud_fault(raw),
        warnings=(warning,) if warning else (),
    )


def cloud_fault(raw: dict[str, Any]) -> str:
    """Why cloud_worker/engine cannot run a model of this config, in its own words; empty when it can."""
    try:
        parse_config(raw)
    except ManifestError as error:
        return error.message
    return ""


def _check_class(raw: dict[str, Any], directory: Path) -> None:
    """Only the plain causal models: not a classifier on the same body, nothing quantized, no other activation."""
    wanted = CLASSES.get(str(raw.get("model_type")), "")
    named = raw.get("architectures")
    faults = {
        f"architectures is {json.dumps(named)[:60]}": bool(wanted) and named != [wanted],
        f"hidden_act is {str(raw.get('hidden_act'))[:20]}": raw.get("hidden_act") not in ("silu", "swish"),
        "the weights are quantized already (quantization_config)": raw.get("quantization_config") is not None,
        "the MLP has biases (mlp_bias)": bool(raw.get("mlp_bias")),
    }
    for fault in (said for said, holds in faults.items() if holds):
        raise ConfigJsonError(
            f"Such a model cannot be taken: {fault}",
            where=str(directory / CONFIG_FILE),
            expected=f"{wanted or 'a causal language model'} with SiLU and plain float weights",
            remedy="fetch the model's float version",
        )


def _explicit(raw: dict[str, Any], sizes: ModelSizes) -> dict[str, Any]:
    """config.json with what it leaves to defaults written out, for readers whose defaults differ."""
    return raw | {
        "head_dim": sizes.head_dim,
        "num_key_value_heads": sizes.num_key_value_heads,
        "tie_word_embeddings": sizes.tie_word_embeddings,
    }


def _digest(source: ModelSource, raw: dict[str, Any], template: str) -> str:
    digest = hashlib.sha256(json.dumps([raw, template], sort_keys=True).encode())
    digest.update((source.directory / TOKENIZER_FILE).read_bytes())
    for name, tensor in sorted(source.tensors.items()):
        digest.update(f"{name} {tensor.file.name} {tensor.dtype} {tensor.shape} {tensor.begin}\n".encode())
    for file in sorted({tensor.file for tensor in source.tensors.values()}):
        state = file.stat()
        digest.update(f"{file.name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
