"""What can be known to go wrong before hours of work: each check raises an error that says what to do instead."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_worker.forge import tokenizer
from cloud_worker.forge.export.room import disk_free, memory_free
from cloud_worker.forge.qwen2 import Qwen2, Qwen2Config
from cloud_worker.forge.recipes import ModelRecipe
from cloud_worker.forge.reference.run import Run, uses_labels
from cloud_worker.forge.training import checkpoint
from cloud_worker.forge.training.corpus import WIDTHS

BLOCK: Final = 64
RANK_BYTES: Final = 1400 * 2**20
WATCHER_BYTES: Final = 600 * 2**20
"""The process that started the ranks: libraries, the rows that it made, the first weights."""
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


class FinishedOtherwiseError(PreflightError):
    """A finished model lies in the work folder that another recipe, seed or scale made, or none where one is needed."""


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
        check_step(model, run.recipe.ranks)
        check_checkpoint(run, model)
    for model in run.recipe.models:
        check_finished(run, model)
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


def check_step(model: ModelRecipe, ranks: int) -> None:
    """Raises ShapeError when a step of the widest rows has none for one of the ranks: its loss would be nan."""
    if (rows := model.step_tokens // WIDTHS[-1]) < ranks:
        said = f"recipe {model.tier}: a step of {model.step_tokens} tokens holds {rows} rows of {WIDTHS[-1]}"
        raise ShapeError(f"{said}, and {ranks} processes need one each; take {ranks * WIDTHS[-1]} tokens or more")


def check_checkpoint(run: Run, model: ModelRecipe) -> None:
    """Raises DamagedCheckpointError or ForeignCheckpointError when a checkpoint lies there that cannot be resumed."""
    job = run.job(run.recipe.model(model.tier))
    if job.checkpoint.exists():
        checkpoint.read(job.checkpoint, job.identity)


def check_finished(run: Run, model: ModelRecipe) -> None:
    """Raises FinishedOtherwiseError when a finished model lies there that this run would not make."""
    job = run.job(model)
    if not job.log.exists():
        return
    theirs = json.loads(job.log.read_text(encoding="utf-8"))
    ours = json.loads(json.dumps(job.identity))
    if differing := [key for key in ("recipe", "seed") if theirs.get(key) != ours[key]]:
        said = f"the {model.tier} model there was trained otherwise (other {', '.join(differing)})"
        remedy = "delete this file to train it again, or name another work folder (--work)"
        raise FinishedOtherwiseError(f"{job.log}: {said}; {remedy}")


def check_all_trained(run: Run) -> None:
    """Raises FinishedOtherwiseError when a model is missing that is to be exported and examined."""
    missing = [model.tier for model in run.recipe.models if not run.trained(model.tier)]
    if missing:
        said = f"no finished training of {', '.join(missing)}; train it first (--stage {missing[0]})"
        raise FinishedOtherwiseError(f"{run.work}: {said}")


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
    """Bytes of all processes of one training: libraries, activations, rows, weights with gradients and two moments.

    The cloud model of the recipe for two cores: 5.3 GiB asked for, 5.1 GiB measured (2.3 in each rank).
    """
    each = RANK_BYTES + ROW_BYTES_PER_TOKEN * model.tokens + (0 if run.device != "cpu" else _activations(run, model))
    return WATCHER_BYTES + run.recipe.ranks * each + 16 * parameters(model.config)


def _activations(run: Run, model: ModelRecipe) -> int:
    """Bytes that a rank keeps of one step for the way back: states, the MLP's, attention maps of rows of WIDTHS[1]."""
    shape, tokens = model.config, model.step_tokens // run.recipe.ranks
    maps = 3 * shape.num_attention_heads * WIDTHS[1]
    each = 10 * shape.hidden_size + 4 * shape.intermediate_size + maps
    return 4 * tokens * shape.num_hidden_layers * each


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
