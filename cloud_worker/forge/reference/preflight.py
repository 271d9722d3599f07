"""What can be known to go wrong before hours of work: each check raises an error that says what to do instead."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_worker.engine.models.qwen2 import Qwen2, Qwen2Config
from cloud_worker.forge import tokenizer
from cloud_worker.forge.export.room import disk_free, memory_free
from cloud_worker.forge.recipes import ModelRecipe
from cloud_worker.forge.reference.run import Run, uses_labels
from cloud_worker.forge.training import checkpoint

BLOCK: Final = 64
RANK_BYTES: Final = 1300 * 2**20
ROW_BYTES_PER_TOKEN: Final = 7
LABEL_BYTES_PER_TOKEN: Final = 40
DISK_BASE_BYTES: Final = 300 * 2**20


class PreflightError(Exception):
    """The run cannot succeed as it was asked for."""


class ShapeError(PreflightError):
    """A shape that blocks of int4 cannot divide, or whose vocabulary is not the tokenizer's."""


class RoomError(PreflightError):
    """Too little memory, shared memory or disk."""


class TeacherMissingError(PreflightError):
    """A student's teacher has not been trained yet and is no part of this call."""


class CompilerMissingError(PreflightError):
    """torch.compile on a CPU needs a C++ compiler."""


@dataclass(frozen=True)
class Room:
    """Free bytes: memory, what processes may share, disk at the work folder."""

    memory: int
    shared: int
    disk: int

    @classmethod
    def at(cls, work: Path) -> Room:
        """What this machine has now."""
        shm = Path("/dev/shm")  # noqa: S108 (asked for its size only)
        shared = disk_free(shm) if shm.exists() else 2**62
        return cls(memory_free(work), shared, disk_free(work.absolute()))


def check(run: Run, tiers: tuple[str, ...], room: Room, environment: Mapping[str, str] = os.environ) -> None:
    """Everything that can be checked before a run that trains `tiers`. Raises PreflightError, CheckpointError, ..."""
    models = [run.scaled(run.recipe.model(tier)) for tier in tiers]
    for model in models:
        check_shape(model.tier, model.config)
        check_checkpoint(run, model)
    check_teachers(run, tiers)
    check_tokenizer(run, models)
    check_room(run, models, room)
    if run.compile:
        check_compiler(environment)


def check_shape(tier: str, config: Qwen2Config) -> None:
    """Raises ShapeError when int4 blocks of BLOCK do not divide the input width of every matrix."""
    widths = {"hidden_size": config.hidden_size, "intermediate_size": config.intermediate_size}
    for name, width in widths.items():
        if width % BLOCK:
            near = max(BLOCK, round(width / BLOCK) * BLOCK)
            raise ShapeError(f"recipe {tier}: {name} {width} does not divide into int4 blocks of {BLOCK}; take {near}")
    if config.hidden_size % config.num_attention_heads or config.head_dim % 32:
        heads = config.hidden_size // BLOCK
        raise ShapeError(f"recipe {tier}: heads of {config.head_dim} values, expected 32 or 64; take {heads} heads")


def check_checkpoint(run: Run, model: ModelRecipe) -> None:
    """Raises DamagedCheckpointError or ForeignCheckpointError when a checkpoint lies there that cannot be resumed."""
    job = run.job(run.recipe.model(model.tier))
    if job.checkpoint.exists():
        checkpoint.read(job.checkpoint, job.identity)


def check_teachers(run: Run, tiers: tuple[str, ...]) -> None:
    """Raises TeacherMissingError when a student would come before its teacher."""
    ready: set[str] = set()
    for tier in tiers:
        lessons = run.recipe.model(tier).lessons
        if lessons and lessons.teacher not in ready and not run.trained(lessons.teacher):
            said = f"{run.work}: the {tier} model learns from the {lessons.teacher} model, which is not there"
            raise TeacherMissingError(f"{said}; train it first (--stage {lessons.teacher})")
        ready.add(tier)


def check_tokenizer(run: Run, models: list[ModelRecipe]) -> None:
    """Raises TokenizerFileError or ShapeError when a tokenizer lies there that does not fit the models."""
    if not run.tokenizer_file.exists():
        return
    size = tokenizer.load(run.tokenizer_file).get_vocab_size()
    for model in models:
        if size > model.config.vocab_size:
            said = f"{run.tokenizer_file}: {size} tokens, and the {model.tier} model has {model.config.vocab_size}"
            raise ShapeError(f"{said}; delete the work folder to train a tokenizer of the right size")


def check_room(run: Run, models: list[ModelRecipe], room: Room) -> None:
    """Raises RoomError when memory, shared memory or disk will not do."""
    memory = max((needed_memory(run, model) for model in models), default=0)
    shared = max((shared_memory(run, model) for model in models), default=0)
    disk = needed_disk(models)
    _enough("memory", room.memory, memory, "close other programs, or take a smaller recipe")
    _enough("shared memory (/dev/shm)", room.shared, shared, "enlarge it (in a container: --shm-size)")
    _enough(f"disk at {run.work}", room.disk, disk, "free some, or name another folder with --work")


def _enough(what: str, found: int, needed: int, remedy: str) -> None:
    if found < needed:
        raise RoomError(f"too little {what}: {found / 2**20:,.0f} MiB free, expected {needed / 2**20:,.0f}; {remedy}")


def parameters(config: Qwen2Config) -> int:
    """Parameters of a shape."""
    import torch

    with torch.device("meta"):
        return sum(value.numel() for value in Qwen2(config).parameters())


def needed_memory(run: Run, model: ModelRecipe) -> int:
    """Bytes of all ranks of one training: libraries and activations, rows, weights with gradients and two moments."""
    rows = ROW_BYTES_PER_TOKEN * model.tokens
    return run.recipe.ranks * (RANK_BYTES + rows) + 16 * parameters(model.config)


def shared_memory(run: Run, model: ModelRecipe) -> int:
    """Bytes of weights and gradients that the ranks share."""
    return 4 * (1 + run.recipe.ranks) * parameters(model.config) if run.recipe.ranks > 1 else 0


def needed_disk(models: list[ModelRecipe]) -> int:
    """Bytes of rows, labels, checkpoints and graphs."""
    rows = max((ROW_BYTES_PER_TOKEN * model.tokens for model in models), default=0)
    taught = [model.lessons.taught_tokens for model in models if model.lessons and uses_labels(model.lessons)]
    return DISK_BASE_BYTES + rows + LABEL_BYTES_PER_TOKEN * sum(taught) + 60 * sum(parameters(m.config) for m in models)


def check_compiler(environment: Mapping[str, str]) -> None:
    """Raises CompilerMissingError when there is no C++ compiler."""
    names = [environment["CXX"]] if "CXX" in environment else ["g++", "clang++", "c++"]
    if not any(shutil.which(name, path=environment.get("PATH")) for name in names):
        raise CompilerMissingError(f"none of {', '.join(names)} on the PATH; install one, or say --no-compile (slower)")
