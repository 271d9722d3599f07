"""A Hugging Face model directory that was checked before any work: Llama, Qwen2 or Qwen3, whole and consistent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cloud_worker.architectures import ModelSizes, model_sizes
from cloud_worker.forge.export.checkpoint import Stored, check_finite, check_tensors, read_checkpoint
from cloud_worker.forge.export.errors import CombinationRefusedError
from cloud_worker.forge.export.template import checked_tokenizer, filled_template
from cloud_worker.forge.export.tokenizer_files import Speech, read_speech
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.manifest import TOKENIZER_FILE


@dataclass(frozen=True)
class ModelSource:
    """A checked directory: sizes of its config.json, where its tensors are, tokenizer, end ids, chat template with the
    special tokens written into it; `chat` is both as our runtimes take them."""

    directory: Path
    sizes: ModelSizes
    tensors: Mapping[str, Stored]
    speech: Speech
    chat: ChatTokenizer


def read_source(directory: Path) -> ModelSource:
    """Check a directory; the weights are looked through once, and not loaded.

    Raises ConfigJsonError, CheckpointFileError, TokenizerMissingError, ConfigError (a tokenizer that cannot be
    streamed).
    """
    sizes = model_sizes(directory)
    tensors = read_checkpoint(directory)
    check_tensors(tensors, sizes, directory)
    speech = read_speech(directory, sizes)
    speech = replace(speech, template=filled_template(directory, speech.template))
    file = (directory / TOKENIZER_FILE).read_bytes()
    chat = checked_tokenizer(directory, file, speech.template, speech.eos_ids)
    check_finite(tensors)
    return ModelSource(directory, sizes, tensors, speech, chat)


def undivided(sizes: ModelSizes, block: int) -> list[str]:
    """Matrices whose input width `block` does not divide, each with that width."""
    widths = {name: columns for name, (_, columns) in sizes.matrices().items()} | {"lm_head": sizes.hidden_size}
    return [f"{name} ({width})" for name, width in widths.items() if width % block]


def check_block(sizes: ModelSizes, block: int, choices: Iterable[int] = (128, 64, 32)) -> None:
    """Raises CombinationRefusedError when blocks of `block` values do not divide every matrix, naming those that do."""
    if not (odd := undivided(sizes, block)):
        return
    fitting = [str(one) for one in choices if not undivided(sizes, one)]
    raise CombinationRefusedError(
        f"Blocks of {block} values do not divide {', '.join(odd)}",
        where="block size",
        expected=f"a block that divides hidden size {sizes.hidden_size} and MLP width {sizes.intermediate_size}",
        remedy=f"choose blocks of {' or '.join(fitting)}" if fitting else "export in int8 per channel, or in fp32",
    )
