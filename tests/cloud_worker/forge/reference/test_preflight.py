"""What is said before the work starts: shapes, rooms, teachers, tokenizers, checkpoints, compilers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cloud_worker.forge.qwen2 import Qwen2Config
from cloud_worker.forge.recipes import RECIPES
from cloud_worker.forge.reference import preflight
from cloud_worker.forge.reference.preflight import (
    CompilerMissingError,
    FinishedOtherwiseError,
    Room,
    RoomError,
    ShapeError,
    TeacherMissingError,
)
from cloud_worker.forge.reference.run import Run
from cloud_worker.forge.tokenizer import TokenizerFileError
from cloud_worker.forge.training import checkpoint
from cloud_worker.forge.training.checkpoint import DamagedCheckpointError, ForeignCheckpointError
from tests.factories.forge import SHAPE, small_run

PLENTY = Room(memory=2**40, shared=2**40, disk=2**40)
ALL = ("cloud", "edge", "draft")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return small_run(tmp_path)


def test_a_sound_run_passes(run: Run) -> None:
    preflight.check(run, ALL, PLENTY)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_shipped_recipes_pass(name: str, tmp_path: Path) -> None:
    preflight.check(Run(RECIPES[name], tmp_path, tmp_path, compile=False), ALL, PLENTY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": 96}, "hidden_size 96 .*take 128"),
        ({"intermediate_size": 200}, "intermediate_size 200 .*take 192"),
        ({"num_attention_heads": 4}, "heads of 16 values"),
    ],
)
def test_a_shape_that_int4_cannot_divide_is_refused(change: dict[str, int], said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        preflight.check_shape("edge", Qwen2Config(**dataclasses.asdict(SHAPE) | change))


def test_a_step_without_a_row_for_each_rank_is_refused(run: Run) -> None:
    model = dataclasses.replace(run.recipe.models[0], step_tokens=2047)
    preflight.check_step(model, 1)
    with pytest.raises(ShapeError, match=r"1 rows of 1024, and 2 processes .*take 2048"):
        preflight.check_step(model, 2)


@pytest.mark.parametrize("short", ["memory", "disk"])
def test_too_little_room_is_said_with_figures(run: Run, short: str) -> None:
    with pytest.raises(RoomError, match=rf"too little {short}.*MiB free, expected"):
        preflight.check(run, ALL, dataclasses.replace(PLENTY, **{short: 2**20}))


def test_ranks_need_shared_memory(run: Run) -> None:
    two = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, ranks=2))
    with pytest.raises(RoomError, match="--shm-size"):
        preflight.check(two, ALL, dataclasses.replace(PLENTY, shared=10))


def test_a_student_without_its_teacher_is_refused(run: Run) -> None:
    with pytest.raises(TeacherMissingError, match="--stage cloud"):
        preflight.check(run, ("edge",), PLENTY)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version": "1.0"}'])
def test_a_tokenizer_without_its_tokens_is_refused(run: Run, content: bytes) -> None:
    run.tokenizer_file.write_bytes(content)
    with pytest.raises(TokenizerFileError, match=r"tokenizer\.json"):
        preflight.check(run, ALL, PLENTY)


def test_a_tokenizer_larger_than_the_model_is_refused(run: Run) -> None:
    small = dataclasses.replace(run.recipe.models[0], config=dataclasses.replace(SHAPE, vocab_size=300))
    with pytest.raises(ShapeError, match="512 tokens, and the cloud model has 300"):
        preflight.check_tokenizer(run, [small])


def test_a_checkpoint_that_cannot_be_resumed_is_refused(run: Run) -> None:
    path = run.job(run.recipe.model("cloud")).checkpoint
    path.write_bytes(b"torn")
    with pytest.raises(DamagedCheckpointError):
        preflight.check(run, ALL, PLENTY)
    checkpoint.write(path, {"seed": 99}, {})
    with pytest.raises(ForeignCheckpointError):
        preflight.check(run, ALL, PLENTY)


def test_a_model_that_was_trained_otherwise_is_refused(run: Run) -> None:
    job = run.job(run.recipe.model("cloud"))
    job.log.write_text(json.dumps(job.identity))
    preflight.check(run, ALL, PLENTY)
    other_seed = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, seed=8))
    for other in (dataclasses.replace(run, scale=50.0), other_seed):
        with pytest.raises(FinishedOtherwiseError, match=r"cloud\.log\.json: the cloud model .*delete this file"):
            preflight.check(other, (), PLENTY)


def test_what_is_examined_must_be_trained(run: Run) -> None:
    with pytest.raises(FinishedOtherwiseError, match="no finished training of cloud, edge, draft"):
        preflight.check_all_trained(run)


def test_memory_asked_for_is_near_what_was_measured(tmp_path: Path) -> None:
    run = Run(RECIPES["cpu"], tmp_path, tmp_path)
    assert 4.8 < preflight.needed_memory(run, run.recipe.model("cloud")) / 2**30 < 5.6
    on_gpu = dataclasses.replace(run, device="cuda")
    assert preflight.needed_memory(on_gpu, run.recipe.model("cloud")) < 4 * 2**30


def test_compiling_needs_a_compiler(tmp_path: Path) -> None:
    with pytest.raises(CompilerMissingError, match="--no-compile"):
        preflight.check_compiler({"PATH": str(tmp_path)})
