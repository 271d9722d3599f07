"""Changes that overlap, fail in odd ways, or find no room: the model that serves goes on, and no memory is kept."""

from __future__ import annotations

import asyncio
import shutil
import threading
import weakref
from pathlib import Path

import pytest

from edge_agent.ladder import Accept, Limits
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edge_agent.runtime.kv_disk import DiskOptions
from edge_agent.serving import Manner, ServedModel
from edgewise.node.driver import EngineDriver
from edgewise.node.engine import StepOutput
from edgewise.wire.errors import ConflictError, EdgewiseError, ManifestError, TierError, TierRefusedError
from edgewise.wire.manifest import load_manifest
from tests.edge_agent.serving.stage import Stage, begin, ids, until
from tests.edge_agent.tiny_model import write_tiny_model

pytestmark = pytest.mark.timeout(60)
UNLOADED = Limits(loaded=False, hand_over=True, accept=Accept.NONE, reason="the device is short of memory")
SLOWLY = Limits(tokens_per_s=0.1)
"""An answer that runs now does not end before the pace is lifted."""


@pytest.fixture(scope="session")
def other_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("other-model")
    write_tiny_model(directory, seed=11)
    return directory


@pytest.fixture
def stage() -> Stage:
    return Stage()


def threads_of(served: ServedModel) -> int | None:
    return None if served.models.current is None else served.models.current.manner.threads


# One change after another ---------------------------------------------------------------------------------------------


async def test_of_two_exchanges_under_one_answer_no_model_stays(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir, threads=4) as served:
        undisturbed = await ids(served, begin(served))
        served.models.obey(SLOWLY)
        running = served.generate(begin(served), "b")
        seen = [await anext(running)]
        for threads in (2, 1):
            served.models.obey(Limits(threads=threads, tokens_per_s=0.1))
            await until(lambda threads=threads: threads_of(served) == threads)  # type: ignore[misc]
        sessions = [weakref.ref(model.engine._graph.session) for model in served.models.alive]
        await until(lambda: len(served.models.alive) == 2)  # the one between had no answer
        served.models.obey(Limits(threads=1))
        seen += [chunk async for chunk in running]
        assert tuple(token for chunk in seen for token in chunk.ids) == undisturbed
        await until(lambda: len(served.models.alive) == 1)
        await until(lambda: sum(session() is not None for session in sessions) <= 1)


async def test_an_exchange_and_an_unloading_under_one_answer_leave_nothing(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir, threads=2) as served:
        served.models.obey(SLOWLY)
        running = served.generate(begin(served), "b")
        await anext(running)
        served.models.obey(Limits(threads=1, tokens_per_s=0.1))
        await until(lambda: threads_of(served) == 1)
        served.models.obey(UNLOADED)
        await until(lambda: served.models.current is None)
        assert [chunk async for chunk in running][-1].finish == "length"
        await until(lambda: not served.models.alive)


async def test_a_pointer_that_is_moved_back_is_followed_back(
    stage: Stage, tiny_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    pointer = tmp_path / "current"
    pointer.symlink_to(tiny_dir)
    async with stage.serving(pointer) as served:
        version = served.models.manifest.id
        served.models.obey(UNLOADED)
        await until(lambda: not served.models.alive)
        for directory in (other_dir, tiny_dir):
            pointer.unlink()
            pointer.symlink_to(directory)
            await served.models.reread()
        served.models.obey(Limits())
        await until(lambda: served.models.current is not None)
        assert served.models.manifest.id == version


async def test_a_version_that_came_while_another_change_was_made_is_not_taken_for_it(
    tiny_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "model"
    shutil.copytree(tiny_dir, directory)
    read, gate = threading.Event(), threading.Event()

    class Reading(Stage):
        def open(self, manner: Manner):  # type: ignore[no-untyped-def]
            opened = super().open(manner)
            if len(self.opened) == 2:
                read.set()
                gate.wait()
            return opened

    async with Reading().serving(directory, threads=2) as served:
        served.models.obey(Limits(threads=1))
        await asyncio.to_thread(read.wait)
        for path in other_dir.iterdir():
            shutil.copy(path, tmp_path / "part")
            (tmp_path / "part").replace(directory / path.name)
        swapping = asyncio.create_task(served.models.swap(directory))
        await until(lambda: served.models._swap is not None)
        gate.set()
        assert (await swapping).id == load_manifest(other_dir).id == served.models.manifest.id


async def test_a_later_look_is_heard_while_an_earlier_one_waits(
    stage: Stage, tiny_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    pointer, gate = tmp_path / "current", threading.Event()
    pointer.symlink_to(tiny_dir)
    async with stage.serving(pointer) as served:
        version = served.models.manifest.id
        stage.before_open = lambda manner: assert_passes(gate)
        pointer.unlink()
        pointer.symlink_to(other_dir)
        first = asyncio.create_task(served.models.reread())
        await until(lambda: len(stage.opened) == 2)
        pointer.unlink()
        pointer.symlink_to(tiny_dir)
        second = asyncio.create_task(served.models.reread())
        await first
        gate.set()
        await second
        assert served.models.manifest.id == version


def assert_passes(gate: threading.Event) -> None:
    assert gate.wait(30.0)


# Failures -------------------------------------------------------------------------------------------------------------


class NoThread(EngineDriver):
    """A driver on a machine that can start no more threads."""

    async def start(self) -> None:
        raise RuntimeError("can't start new thread")


async def test_an_opening_that_fails_late_is_tried_again_and_said_meanwhile(stage: Stage, tiny_dir: Path) -> None:
    async with stage.serving(tiny_dir) as served:
        served.models.obey(UNLOADED)
        await until(lambda: not served.models.alive)
        stage.driver = NoThread
        served.models.obey(Limits())
        await until(lambda: served.models.trouble is not None)
        assert not served.healthy
        with pytest.raises(TierRefusedError, match="start new thread"):
            await ids(served, begin(served))
        stage.driver = EngineDriver
        await until(lambda: served.models.current is not None)
        assert served.healthy and await ids(served, begin(served))


async def test_a_circle_of_links_is_an_error_with_a_name_and_does_not_end_the_changes(
    stage: Stage, tiny_dir: Path, tmp_path: Path
) -> None:
    copy, pointer = tmp_path / "model", tmp_path / "current"
    shutil.copytree(tiny_dir, copy)
    pointer.symlink_to(copy)
    async with stage.serving(pointer) as served:
        served.models.obey(UNLOADED)
        await until(lambda: not served.models.alive)
        pointer.unlink()
        pointer.symlink_to(pointer)
        shutil.rmtree(copy)
        served.models.obey(Limits())
        await until(lambda: served.models.trouble is not None)
        pointer.unlink()
        pointer.symlink_to(tiny_dir)
        await until(lambda: served.models.current is not None)


async def test_a_fault_of_ours_does_not_end_the_changes(stage: Stage, tiny_dir: Path, other_dir: Path) -> None:
    async with stage.serving(tiny_dir) as served:
        version = served.models.manifest.id
        stage.room = None  # type: ignore[assignment]  # nothing can be compared with it
        with pytest.raises(EdgewiseError, match="TypeError"):
            await served.models.swap(other_dir)
        assert served.models.manifest.id == version and await ids(served, begin(served))
        stage.room = 1 << 40
        assert (await served.models.swap(other_dir)).id == served.models.manifest.id != version


class Broken(OnnxEngine):
    """An engine that fails while it is told to."""

    fails = False

    def step(self) -> list[StepOutput]:
        if Broken.fails:
            raise RuntimeError("boom")
        return super().step()


async def test_an_engine_that_was_given_up_is_opened_again(stage: Stage, tiny_dir: Path) -> None:
    stage.engine = Broken
    async with stage.serving(tiny_dir) as served:
        whole = await ids(served, begin(served))
        Broken.fails = True
        for attempt in "abc":
            with pytest.raises(TierError):
                await ids(served, begin(served), attempt)
        Broken.fails = False
        await until(lambda: len(stage.opened) == 2)
        assert await ids(served, begin(served)) == whole and served.healthy
    assert stage.changes == ["given_up", "opened"]


async def test_an_exchange_that_failed_is_tried_again_without_being_asked(stage: Stage, tiny_dir: Path) -> None:
    def fail(manner: Manner) -> None:
        raise MemoryError("no room for it")

    async with stage.serving(tiny_dir, threads=4) as served:
        stage.before_open = fail
        served.models.obey(Limits(threads=1))
        await until(lambda: "failed" in stage.changes)
        assert served.healthy and threads_of(served) == 4
        stage.before_open = lambda manner: None
        await until(lambda: threads_of(served) == 1)


async def test_an_exchange_that_failed_is_tried_again_when_it_is_wanted_anew(stage: Stage, tiny_dir: Path) -> None:
    def fail(manner: Manner) -> None:
        raise MemoryError("no room for it")

    stage.retry_s = 1000.0
    async with stage.serving(tiny_dir, threads=4) as served:
        stage.before_open = fail
        served.models.obey(Limits(threads=1))
        await until(lambda: "failed" in stage.changes)
        stage.before_open = lambda manner: None
        served.models.obey(Limits(threads=2))
        await until(lambda: threads_of(served) == 2)
        served.models.obey(Limits(threads=1))
        await until(lambda: threads_of(served) == 1)


async def test_a_swap_that_fails_after_its_engine_opened_leaves_saved_contexts(
    tiny_dir: Path, other_dir: Path, tmp_path: Path
) -> None:
    saved = DiskOptions(tmp_path / "saved", 8 << 20)
    stage = Stage(EngineOptions(slots=1, saved=saved))
    async with stage.serving(tiny_dir) as served:
        await ids(served, begin(served, 200))
        assert served.models.current is not None
        served.models.current.driver.run(lambda engine=served.models.current.engine: save_all(engine))  # type: ignore[misc]
        await until(lambda: list(saved.directory.glob("*.kv")))
        unfinished = saved.directory / ".saving-1"
        unfinished.touch()

        def unfit(engine: OnnxEngine) -> None:
            raise ManifestError("the tokenizer does not fit")

        stage.before_drive = unfit
        with pytest.raises(ManifestError):
            await served.models.swap(other_dir)
        assert list(saved.directory.glob("*.kv")) and unfinished.exists()


def save_all(engine: OnnxEngine) -> None:
    while engine.idle_work() == 0.0:
        pass


class Hanging(OnnxEngine):
    """An engine whose step may hang."""

    gate = threading.Event()

    def step(self) -> list[StepOutput]:
        assert_passes(self.gate)
        return super().step()


async def test_a_model_whose_step_hangs_is_not_said_to_be_unloaded(stage: Stage, tiny_dir: Path) -> None:
    stage.engine, stage.join_s = Hanging, 0.01
    try:
        async with stage.serving(tiny_dir) as served:
            asking = asyncio.create_task(ids(served, begin(served)))
            await until(lambda: served.models.current is not None and served.models.current.users)
            asking.cancel()  # nobody uses it any more, and the step goes on
            served.models.obey(UNLOADED)
            await until(lambda: "stuck" in stage.changes)
            assert "unloaded" not in stage.changes and served.needs().freed_bytes == 0
    finally:
        Hanging.gate.set()


async def test_closing_an_engine_frees_it_without_a_collector(tiny_dir: Path) -> None:
    engine = OnnxEngine.load(tiny_dir)
    session = weakref.ref(engine._graph.session)
    engine.close()
    assert session() is None


# No room for two ------------------------------------------------------------------------------------------------------


async def test_steady_answers_do_not_keep_a_swap_from_its_room(stage: Stage, tiny_dir: Path, other_dir: Path) -> None:
    stage.room = 0
    async with stage.serving(tiny_dir, throttle=200.0) as served:
        enough = False

        async def ask(name: str) -> None:
            while not enough:
                assert len(await ids(served, begin(served), name)) == 24

        asking = [asyncio.create_task(ask(name)) for name in "ab"]
        await until(lambda: served.load().running == 2)
        manifest = await served.models.swap(other_dir)
        enough = True
        await asyncio.gather(*asking)
        assert served.models.manifest.id == manifest.id == load_manifest(other_dir).id


async def test_an_exchange_that_is_called_off_holds_nobody_up(stage: Stage, tiny_dir: Path, other_dir: Path) -> None:
    stage.room, stage.hold_after_s = 0, 0.0
    async with stage.serving(tiny_dir) as served:
        served.models.obey(SLOWLY)
        running = served.generate(begin(served), "b")
        await anext(running)
        swapping = asyncio.create_task(served.models.swap(other_dir))
        await until(lambda: served.models._swap is not None)
        served.models.obey(Limits())
        again = asyncio.create_task(served.models.swap(tiny_dir))
        with pytest.raises(ConflictError):
            await swapping
        await again
        assert await ids(served, begin(served), "c") and len(stage.opened) == 1
        await running.aclose()  # type: ignore[attr-defined]
