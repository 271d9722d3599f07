"""Loading, unloading, opening anew and exchanging the model of a running tier, with real engines."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import weakref
from pathlib import Path

import pytest

from edge_agent.ladder import Accept, Limits
from edge_agent.serving import Manner
from edgewise.routing.tier import Chunk
from edgewise.wire.errors import (
    ConflictError,
    EdgewiseError,
    ManifestError,
    ModelDigestError,
    ModelMissingError,
    TierRefusedError,
)
from edgewise.wire.manifest import build_manifest, write_manifest
from tests.edge_agent.serving.stage import Stage, begin, chunks, has_contexts, ids, until
from tests.edge_agent.tiny_model import EOS, write_tiny_model

pytestmark = pytest.mark.timeout(60)
UNLOADED = Limits(loaded=False, hand_over=True, accept=Accept.NONE, reason="the device is short of memory")


@pytest.fixture(scope="session")
def other_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("other-model")
    write_tiny_model(directory, seed=11)
    return directory


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_model_that_was_unloaded_comes_back_with_the_same_text(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir) as served:
        before = await ids(served, begin(served))
        assert served.models.current is not None
        session = weakref.ref(served.models.current.engine._graph.session)
        served.models.obey(UNLOADED)
        await until(lambda: "unloaded" in stage.changes)
        assert session() is None  # its memory is free, not only out of use
        assert served.models.current is None and not served.models.alive
        assert served.needs().freed_bytes > (tiny_dir / "model.onnx").stat().st_size
        with pytest.raises(TierRefusedError, match="short of memory") as refused:
            await ids(served, begin(served))
        assert refused.value.remedy and refused.value.retry_after_s
        assert served.healthy and served.capabilities.model_version
        served.models.obey(Limits())
        assert await ids(served, begin(served)) == before  # it waits for the model
        assert served.needs().freed_bytes == 0
    assert stage.changes == ["unloaded", "opened"]


async def test_the_model_stays_until_the_last_running_answer_has_ended(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir, throttle=200.0) as served:
        undisturbed = await ids(served, begin(served))
        running = served.generate(begin(served), "b")
        seen = [await anext(running)]
        served.models.obey(UNLOADED)
        seen += [chunk async for chunk in running]
        assert tuple(token for chunk in seen for token in chunk.ids) == undisturbed
        await until(lambda: not served.models.alive)


async def test_an_agent_that_starts_short_of_memory_loads_nothing_yet(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir, limits=UNLOADED) as served:
        assert not stage.opened and served.models.manifest.name == "tiny-edge"
        versions: list[str] = []
        served.models.watch(lambda: versions.append(served.capabilities.numerics_id))
        served.models.obey(Limits())
        assert await ids(served, begin(served))
        assert versions == [served.capabilities.numerics_id] and versions[0]


async def test_a_load_that_fails_is_tried_again_and_says_why_meanwhile(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir) as served:
        served.models.obey(UNLOADED)
        await until(lambda: not served.models.alive)

        def fail(manner: Manner) -> None:
            raise MemoryError("no room for it")

        stage.before_open = fail
        served.models.obey(Limits())
        await until(lambda: served.models.trouble is not None)
        with pytest.raises(TierRefusedError, match=r"cannot be loaded.*no room for it") as refused:
            await ids(served, begin(served))
        assert refused.value.remedy and refused.value.retry_after_s and not served.healthy
        stage.before_open = lambda manner: None
        await until(lambda: served.models.current is not None)  # without being asked again
        assert served.healthy and await ids(served, begin(served))
    assert stage.changes == ["unloaded", "failed", "opened"]


async def test_threads_change_for_new_answers_and_contexts_go_along(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir, threads=2, throttle=100.0) as served:
        undisturbed = await ids(served, begin(served, 200))
        running = served.generate(begin(served, 200), "b")
        seen = [await anext(running)]
        served.models.obey(Limits(threads=1, spinning=False))
        await until(lambda: served.models.current is not None and served.models.current.manner.threads == 1)
        assert len(served.models.alive) == 2  # the old one ends its own answer
        newest = served.models.current
        assert newest is not None
        await has_contexts(newest)
        assert await ids(served, begin(served, 200), "c") == undisturbed
        assert newest.driver.stats.reused_tokens == 199
        seen += [chunk async for chunk in running]
        assert tuple(token for chunk in seen for token in chunk.ids) == undisturbed
        await until(lambda: len(served.models.alive) == 1)
        served.models.obey(Limits())
        await until(lambda: served.models.current is not None and served.models.current.manner.threads == 2)
        newest = served.models.current
        assert newest is not None
        await has_contexts(newest)
        assert await ids(served, begin(served, 200), "d") == undisturbed
        assert newest.driver.stats.reused_tokens == 199


async def test_limits_that_change_quickly_end_with_the_last(stage: Stage, tiny_dir: Path) -> None:
    gate = threading.Event()
    async with stage.serving(tiny_dir, threads=4) as served:
        stage.before_open = lambda manner: _pass(gate)
        for threads in (1, 2, 3):
            served.models.obey(Limits(threads=threads))
            await asyncio.sleep(0)
        gate.set()
        await until(lambda: served.models.current is not None and served.models.current.manner.threads == 3)
        assert len(stage.opened) <= 3  # the first, perhaps one that was begun, the last


async def test_without_room_for_two_the_old_one_goes_first(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir, threads=2, throttle=200.0) as served:
        undisturbed = await ids(served, begin(served))
        stage.room = 0
        alive: list[int] = []
        stage.before_open = lambda manner: alive.append(len(served.models.alive))
        running = served.generate(begin(served), "b")
        seen = [await anext(running)]
        served.models.obey(Limits(threads=1))
        seen += [chunk async for chunk in running]
        assert tuple(token for chunk in seen for token in chunk.ids) == undisturbed
        await until(lambda: served.models.current is not None and served.models.current.manner.threads == 1)
        assert await ids(served, begin(served), "c") == undisturbed
    assert alive == [0]


async def test_a_swap_lets_running_answers_end_on_the_old_model(stage: Stage, tiny_dir: Path, other_dir: Path) -> None:
    async with stage.serving(tiny_dir, throttle=100.0) as served:
        old = await ids(served, begin(served))
        versions: list[str] = []
        served.models.watch(lambda: versions.append(served.models.manifest.id))
        running = served.generate(begin(served), "b")
        seen = [await anext(running)]
        manifest = await served.models.swap(other_dir)
        new = await ids(served, begin(served), "c")
        seen += [chunk async for chunk in running]
        assert tuple(token for chunk in seen for token in chunk.ids) == old != new
        assert versions == [manifest.id] == [served.capabilities.model_version]
        await until(lambda: len(served.models.alive) == 1)
    async with Stage().serving(other_dir) as fresh:
        assert await ids(fresh, begin(fresh)) == new


def damaged(directory: Path) -> None:
    path = directory / "model.onnx"
    path.write_bytes(path.read_bytes()[:-100])


def damaged_with_a_right_digest(directory: Path) -> None:
    damaged(directory)
    manifest = build_manifest(
        directory, name="t", tier="edge", format="onnx", weights="model.onnx", context_tokens=512, eos_ids=(EOS,)
    )
    write_manifest(directory, manifest)


def of_another_tokenizer(directory: Path) -> None:
    told = json.loads((directory / "manifest.json").read_text())
    told["tokenizer_digest"] = "0" * 64
    (directory / "manifest.json").write_text(json.dumps(told))


def without_a_manifest(directory: Path) -> None:
    (directory / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (damaged, ModelDigestError),
        pytest.param(damaged_with_a_right_digest, ManifestError, marks=pytest.mark.soak),
        (of_another_tokenizer, ModelDigestError),
        (without_a_manifest, ModelMissingError),
    ],
)
async def test_a_swap_that_fails_keeps_the_old_model_serving(
    stage: Stage, tiny_dir: Path, other_dir: Path, tmp_path: Path, harm: object, error: type[EdgewiseError]
) -> None:
    directory = tmp_path / "new"
    shutil.copytree(other_dir, directory)
    harm(directory)  # type: ignore[operator]
    async with stage.serving(tiny_dir) as served:
        before = await ids(served, begin(served))
        version = served.capabilities.model_version
        with pytest.raises(error):
            await served.models.swap(directory)
        assert served.healthy and served.capabilities.model_version == version
        assert await ids(served, begin(served)) == before
        served.models.obey(UNLOADED)
        await until(lambda: not served.models.alive)
        served.models.obey(Limits())
        assert await ids(served, begin(served)) == before  # the old one is what comes back
        await served.models.swap(other_dir)
        assert await ids(served, begin(served)) != before


async def test_after_a_failed_swap_the_old_model_still_follows_the_ladder(
    stage: Stage, tiny_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "new"
    shutil.copytree(other_dir, directory)
    damaged(directory)
    async with stage.serving(tiny_dir, threads=2) as served:
        with pytest.raises(ModelDigestError):
            await served.models.swap(directory)
        served.models.obey(Limits(threads=1))
        await until(lambda: served.models.current is not None and served.models.current.manner.threads == 1)
        assert [each.directory for each in stage.opened].count(directory.resolve()) == 1


async def test_a_failed_swap_without_room_for_two_brings_the_old_one_back(
    stage: Stage, tiny_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "new"
    shutil.copytree(other_dir, directory)
    damaged(directory)
    stage.room = 0
    async with stage.serving(tiny_dir) as served:
        before = await ids(served, begin(served))
        with pytest.raises(ModelDigestError):
            await served.models.swap(directory)
        assert await ids(served, begin(served)) == before


async def test_of_two_swaps_the_last_one_counts(stage: Stage, tiny_dir: Path, other_dir: Path) -> None:
    gate = threading.Event()
    async with stage.serving(tiny_dir) as served:
        stage.before_open = lambda manner: _pass(gate)
        first = asyncio.create_task(served.models.swap(other_dir))
        await until(lambda: len(stage.opened) == 2)
        second = asyncio.create_task(served.models.swap(tiny_dir))
        with pytest.raises(ConflictError):
            await first
        gate.set()
        assert (await second).id == served.capabilities.model_version


async def test_a_pointer_that_moved_is_followed_when_it_is_read_again(
    stage: Stage, tiny_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    pointer, beside = tmp_path / "current", tmp_path / "next"
    pointer.symlink_to(tiny_dir)
    async with stage.serving(pointer) as served:
        before = await ids(served, begin(served))
        await served.models.reread()
        assert len(stage.opened) == 1
        beside.symlink_to(other_dir)
        beside.replace(pointer)
        served.models.obey(UNLOADED)
        await until(lambda: not served.models.alive)
        served.models.obey(Limits())
        assert await ids(served, begin(served)) == before  # nobody said that it moved
        await served.models.reread()
        assert await ids(served, begin(served)) != before


async def test_a_swap_while_nothing_may_be_loaded_is_checked_and_made_later(
    stage: Stage, tiny_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(other_dir, bad)
    damaged(bad)
    async with stage.serving(tiny_dir, limits=UNLOADED) as served:
        with pytest.raises(ModelDigestError):
            await served.models.swap(bad)
        wanted = await served.models.swap(other_dir)
        assert not stage.opened
        served.models.obey(Limits())
        await until(lambda: served.models.current is not None)
        assert served.capabilities.model_version == wanted.id


async def test_a_version_that_was_removed_while_unloaded_is_looked_up_again(
    stage: Stage, tiny_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    old, pointer = tmp_path / "old", tmp_path / "current"
    shutil.copytree(tiny_dir, old)
    pointer.symlink_to(old)
    async with stage.serving(pointer) as served:
        served.models.obey(UNLOADED)
        await until(lambda: not served.models.alive)
        pointer.unlink()
        pointer.symlink_to(other_dir)
        shutil.rmtree(old)
        served.models.obey(Limits())
        await until(lambda: served.models.current is not None)
        assert stage.opened[-1].directory == other_dir.resolve()


async def test_stopping_ends_answers_and_a_swap_that_waits(stage: Stage, tiny_dir: Path, other_dir: Path) -> None:
    gate = threading.Event()
    seen: list[Chunk] = []
    async with stage.serving(tiny_dir, throttle=50.0) as served:
        running = served.generate(begin(served, max_tokens=200), "b")
        seen.append(await anext(running))
        stage.before_open = lambda manner: _pass(gate)
        waiting = asyncio.create_task(served.models.swap(other_dir))
        await until(lambda: len(stage.opened) == 2)
        rest = asyncio.create_task(_drain(running))
    gate.set()
    assert (await rest).code == "tier_lost"
    with pytest.raises(ConflictError, match="stopping"):
        await waiting


def _pass(gate: threading.Event) -> None:
    gate.wait()


async def _drain(running: object) -> EdgewiseError:
    try:
        async for _ in running:  # type: ignore[attr-defined]
            pass
    except EdgewiseError as error:
        return error
    raise AssertionError("it ended as if nothing were")


async def test_many_answers_and_many_changes_lose_no_token(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir, threads=2) as served:
        undisturbed = await ids(served, begin(served))
        for round_ in range(4):
            served.models.obey(Limits(threads=1 + round_ % 2))
            answers = await asyncio.gather(*(chunks(served, begin(served), f"{round_}-{n}") for n in range(3)))
            for answer in answers:
                assert tuple(token for chunk in answer for token in chunk.ids) == undisturbed
                assert answer[-1].finish == "length"
