"""A Hugging Face model directory that was checked before any work: Llama, Qwen2 or Qwen3, whole and consistent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cloud_worker.forge.architectures import ModelSizes, model_sizes
from cloud_worker.forge.export.checkpoint import Stored, check_tensors, read_checkpoint
from cloud_worker.forge.export.errors import CombinationRefusedError
from cloud_worker.forge.export.tokenizer_files import Speech, read_speech


@dataclass(frozen=True)
class ModelSource:
    """A checked directory: sizes of its config.json, where its tensors are, tokenizer, end ids, chat template."""

    directory: Path
    sizes: ModelSizes
    tensors: Mapping[str, Stored]
    speech: Speech


def read_source(directory: Path) -> ModelSource:
    """Check a directory without loading weights.

    Raises ConfigJsonError, CheckpointFileError, TokenizerMissingError.
    """
    sizes = model_sizes(directory)
    tensors = read_checkpoint(directory)
    check_tensors(tensors, sizes, directory)
    return ModelSource(directory, sizes, tensors, read_speech(directory, sizes))


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
