"""Contexts on disk: found again by the next process, within bytes and hours, and dropped whole when anything is odd."""

from __future__ import annotations

import os
import resource
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.private_files import is_private
from edge_agent.runtime.kv_disk import (
    AGAIN_AFTER_S,
    PIECE_BYTES,
    DiskOptions,
    KvDisk,
    Read,
    forget_saved,
)
from edge_agent.runtime.kv_file import Header, KvFileError, Origin
from edge_agent.runtime.prefixes import Chain, Prompt
from edgewise.graphs import KvRows
from tests.edge_agent.runtime.drive import prompt_of

DAY_S = 86_400.0
ORIGIN = Origin(graph="g", numerics="n", planes=4, kv_heads=2, head_dim=16, dtype="<f4", element="exact")


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "agent" / "prefixes"


def opened(folder: Path, clock: Clock, *, max_bytes: int = 1 << 20, origin: Origin = ORIGIN) -> KvDisk:
    return KvDisk(DiskOptions(folder, max_bytes), origin, clock)


def rows_for(ids: tuple[int, ...], origin: Origin = ORIGIN) -> KvRows:
    """Rows that tell their ids apart."""
    shape = (origin.planes, origin.kv_heads, len(ids), origin.head_dim)
    return np.broadcast_to(np.array(ids, np.float32)[:, None], shape).copy()


def reader(rows: KvRows) -> Read:
    return lambda start, stop: rows[:, :, start:stop]


def save(disk: KvDisk, *all_ids: tuple[int, ...]) -> None:
    """Let the disk work until it has nothing more to do."""
    candidates = [(Chain.of(ids), reader(rows_for(ids))) for ids in all_ids]
    while disk.idle_work(candidates) == 0.0:
        pass
    disk.check_integrity()


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def found(disk: KvDisk, ids: tuple[int, ...]) -> KvRows | None:
    """The rows that a prompt gets; files that cannot be read are dropped on the way."""
    while True:
        tokens, saved = disk.best(Prompt((*ids, 1)))
        if saved is None:
            return None
        try:
            return np.concatenate(list(disk.read(saved, tokens)), axis=2)
        except KvFileError:
            continue


ONE, TWO, THREE = (prompt_of(70, seed=seed) for seed in (1, 2, 3))
ONE_BYTES = Header.of(ORIGIN, Chain.of(ONE), 0.0).file_bytes


def test_the_next_process_finds_the_whole_blocks_of_what_was_saved(folder: Path, clock: Clock) -> None:
    save(opened(folder, clock), ONE, TWO)
    again = opened(folder, clock)
    for ids in (ONE, TWO):
        rows = found(again, ids)
        assert rows is not None and rows.tobytes() == rows_for(ids[:64]).tobytes()
    assert found(again, THREE) is None
    beginning = found(again, ONE[:40])
    assert beginning is not None and beginning.shape[2] == 32
    assert again.best(Prompt(ONE[:64]))[0] == 63  # a prompt's last token is read


def test_files_are_for_this_user_only_and_hold_no_ids(folder: Path, clock: Clock) -> None:
    before = os.umask(0)
    try:
        save(opened(folder, clock), ONE)
    finally:
        os.umask(before)
    (path,) = files(folder)
    assert is_private(folder) and path.stat().st_mode & 0o777 == 0o600
    named = msgspec.msgpack.decode(path.read_bytes()[12 : 12 + int.from_bytes(path.read_bytes()[8:12], "little")])
    assert named["names"] == b"".join(Chain.of(ONE).names) and set(named) == {"origin", "names", "saved_at"}


def test_a_folder_that_others_can_read_is_closed(folder: Path, clock: Clock) -> None:
    folder.mkdir(parents=True, mode=0o755)
    assert not is_private(folder)
    opened(folder, clock)
    assert is_private(folder)


def test_saving_goes_in_pieces_and_nothing_is_in_place_before_the_last(folder: Path, clock: Clock) -> None:
    ids = prompt_of(32 * 600)
    disk, rows = opened(folder, clock, max_bytes=1 << 30), rows_for(ids)
    assert rows.nbytes > 2 * PIECE_BYTES
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> KvRows:
        asked.append((start, stop))
        return rows[:, :, start:stop]

    while len(disk) == 0:
        assert not list(folder.glob("*.kv"))
        assert disk.idle_work([(Chain.of(ids), read)]) == 0.0
    assert len(asked) == 3 and asked[-1][1] == len(ids)
    assert disk.idle_work([(Chain.of(ids), read)]) == DAY_S
    assert [path.suffix for path in files(folder)] == [".kv"]


def test_rows_that_are_overwritten_while_they_are_saved_leave_nothing(folder: Path, clock: Clock) -> None:
    disk, chain = opened(folder, clock), Chain.of(ONE)
    gone: list[KvRows | None] = [None, rows_for(ONE)]
    assert disk.idle_work([(chain, lambda start, stop: gone[0])]) == 0.0
    assert files(folder) == []
    save(disk, ONE)  # they are back: nothing was held against them
    assert len(files(folder)) == 1


def test_killed_at_any_piece_the_next_process_finds_the_old_or_the_new(folder: Path, clock: Clock) -> None:
    disk = opened(folder, clock, max_bytes=1 << 30)
    old, new = prompt_of(64), prompt_of(32 * 600)
    save(disk, old)
    lengths = []
    for piece in range(5):
        disk.idle_work([(Chain.of(new), reader(rows_for(new)))])
        killed = folder.with_name(f"killed-{piece}")
        shutil.copytree(folder, killed)
        next_process = opened(killed, clock, max_bytes=1 << 30)
        rows = found(next_process, new)
        assert rows is not None and rows.tobytes() == rows_for(new[: rows.shape[2]]).tobytes()
        assert len(files(killed)) == len(next_process) == 1
        lengths.append(rows.shape[2])
    assert lengths == [64, 64, 64, len(new), len(new)]


def test_a_longer_context_takes_the_place_of_its_beginning(folder: Path, clock: Clock) -> None:
    disk = opened(folder, clock)
    save(disk, ONE[:32])
    save(disk, ONE)
    assert len(disk) == len(files(folder)) == 1
    save(disk, ONE[:40])
    assert disk.size_bytes == ONE_BYTES == files(folder)[0].stat().st_size


def test_a_beginning_that_a_kill_left_beside_the_longer_context_is_removed(folder: Path, clock: Clock) -> None:
    save(opened(folder, clock), ONE[:32])
    (path,) = files(folder)
    beginning = path.read_bytes()
    save(opened(folder, clock), ONE)
    path.write_bytes(beginning)
    assert len(opened(folder, clock)) == len(files(folder)) == 1


def test_the_least_recently_used_is_removed_for_what_is_new(folder: Path, clock: Clock) -> None:
    disk = opened(folder, clock, max_bytes=2 * ONE_BYTES)
    save(disk, ONE)
    save(disk, TWO)
    assert found(disk, ONE) is not None
    save(disk, THREE)
    assert [found(disk, ids) is not None for ids in (ONE, TWO, THREE)] == [True, False, True]
    assert len(files(folder)) == 2


def test_more_than_fits_is_not_written_again_and_again(folder: Path, clock: Clock) -> None:
    disk = opened(folder, clock, max_bytes=2 * ONE_BYTES)
    save(disk, ONE, TWO, THREE)
    written = {path: path.stat().st_ino for path in files(folder)}
    save(disk, ONE, TWO, THREE)
    assert {path: path.stat().st_ino for path in files(folder)} == written and len(written) == 2


def test_what_went_and_came_again_is_saved_anew(folder: Path, clock: Clock) -> None:
    disk = opened(folder, clock, max_bytes=ONE_BYTES)
    for ids in (ONE, TWO, ONE):
        save(disk, ids)
    assert found(disk, ONE) is not None


def test_a_context_larger_than_the_budget_is_not_written(folder: Path, clock: Clock) -> None:
    save(opened(folder, clock, max_bytes=ONE_BYTES - 1), ONE)
    assert files(folder) == []


def test_a_smaller_budget_removes_the_oldest(folder: Path, clock: Clock) -> None:
    disk = opened(folder, clock)
    for ids in (ONE, TWO, THREE):
        clock.now += 1
        save(disk, ids)
    smaller = opened(folder, clock, max_bytes=ONE_BYTES)
    assert found(smaller, THREE) is not None and len(files(folder)) == 1


def test_what_is_old_is_forgotten_while_it_runs_and_when_it_starts(folder: Path, clock: Clock) -> None:
    disk = opened(folder, clock)
    save(disk, ONE)
    clock.now += DAY_S / 2
    save(disk, TWO)
    assert disk.idle_work([]) == DAY_S / 2
    clock.now += DAY_S / 2
    assert found(disk, ONE) is None and len(files(folder)) == 1
    clock.now += DAY_S / 2
    assert len(opened(folder, clock)) == 0 and files(folder) == []


def test_what_was_saved_in_the_future_is_dropped(folder: Path, clock: Clock) -> None:
    save(opened(folder, clock), ONE)
    clock.now -= 3600.0
    assert len(opened(folder, clock)) == 0 and files(folder) == []


@pytest.mark.parametrize(
    "change", [{"graph": "h"}, {"numerics": "m"}, {"head_dim": 8}], ids=["graph", "numerics", "dim"]
)
def test_what_another_model_saved_is_dropped_with_one_line(
    folder: Path, clock: Clock, caplog: pytest.LogCaptureFixture, change: dict[str, Any]
) -> None:
    save(opened(folder, clock), ONE, TWO)
    assert len(opened(folder, clock, origin=msgspec.structs.replace(ORIGIN, **change))) == 0
    assert [record.message for record in caplog.records] == [
        "2 saved contexts were dropped: it was saved by another model or another way of computing"
    ]
    assert files(folder) == []


def test_rounded_rows_are_not_for_an_exact_engine(folder: Path, clock: Clock) -> None:
    rounded = msgspec.structs.replace(ORIGIN, element="int8")
    save(opened(folder, clock, origin=rounded), ONE)
    rows = found(opened(folder, clock, origin=rounded), ONE)
    assert rows is not None and np.abs(rows - rows_for(ONE[:64])).max() <= 0.1
    assert len(opened(folder, clock)) == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(at_start=st.booleans(), place=st.floats(0, 1, exclude_max=True), cut=st.booleans())
def test_a_damaged_file_is_never_loaded(tmp_path: Path, at_start: bool, place: float, cut: bool) -> None:
    folder, clock = tmp_path / "prefixes", Clock()
    forget_saved(folder)
    disk = opened(folder, clock)
    save(disk, ONE)
    (path,) = files(folder)
    content = bytearray(path.read_bytes())
    offset = int(place * len(content))
    content[offset] ^= 1
    path.write_bytes(bytes(content[:offset] if cut else content))
    disk = opened(folder, clock) if at_start else disk
    assert found(disk, ONE) is None
    assert files(folder) == [] and len(disk) == 0


@pytest.mark.parametrize("odd", ["pipe", "directory", "link", "empty", "huge", "renamed", "text"])
def test_odd_things_under_a_right_name_are_no_contexts(folder: Path, clock: Clock, tmp_path: Path, odd: str) -> None:
    save(opened(folder, clock), ONE)
    (path,) = files(folder)
    whole = tmp_path / "whole"
    path.rename(whole)
    match odd:
        case "pipe":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "link":
            path.symlink_to(whole)
        case "huge":
            with path.open("wb") as file:
                file.truncate(1 << 40)
        case "renamed":
            path.with_name(f"{'0' * 40}.kv").write_bytes(whole.read_bytes())
        case _:
            path.write_bytes(b"" if odd == "empty" else b"edgekv1\n")
    disk = opened(folder, clock)
    assert len(disk) == 0 and found(disk, ONE) is None
    assert [left.is_dir() for left in files(folder)] == ([True] if odd == "directory" else [])
    save(disk, TWO)
    assert found(disk, TWO) is not None


def test_a_file_that_vanished_or_was_exchanged_is_dropped_when_it_is_wanted(folder: Path, clock: Clock) -> None:
    disk = opened(folder, clock)
    save(disk, ONE)
    (one,) = files(folder)
    save(disk, TWO)
    (two,) = set(files(folder)) - {one}
    two.write_bytes(one.read_bytes())
    one.unlink()
    assert found(disk, ONE) is None and found(disk, TWO) is None
    assert len(disk) == 0


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond `most_bytes`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_leaves_the_old_files_and_says_so(
    folder: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    disk = opened(folder, clock, max_bytes=ONE_BYTES)
    save(disk, ONE)
    with full_disk(ONE_BYTES // 2):
        assert disk.idle_work([(Chain.of(TWO), reader(rows_for(TWO)))]) == 0.0
    assert "a context was not saved, those that were stay" in caplog.text
    assert found(disk, ONE) is not None and len(files(folder)) == 1
    candidates = [(Chain.of(TWO), reader(rows_for(TWO)))]
    assert disk.idle_work(candidates) == AGAIN_AFTER_S
    clock.now += AGAIN_AFTER_S
    save(disk, TWO)  # the same, which still stands in its slot
    assert found(disk, TWO) is not None


def test_rows_that_no_file_can_hold_are_not_tried_again(folder: Path, clock: Clock) -> None:
    disk = opened(folder, clock, origin=msgspec.structs.replace(ORIGIN, element="int8"))
    asked = []

    def read(start: int, stop: int) -> KvRows:
        asked.append(start)
        return rows_for(ONE[start:stop]) * np.float32(np.inf)

    for _ in range(3):
        while disk.idle_work([(Chain.of(ONE), read)]) == 0.0:
            pass
        clock.now += AGAIN_AFTER_S
    assert asked == [0]


def test_a_saving_that_is_stopped_lets_go_of_its_rows_and_is_done_later(folder: Path, clock: Clock) -> None:
    ids = prompt_of(32 * 600)
    disk, rows = opened(folder, clock, max_bytes=1 << 30), rows_for(ids)
    there = weakref.ref(rows)
    candidates = [(Chain.of(ids), reader(rows))]
    assert disk.idle_work(candidates) == 0.0 and len(files(folder)) == 1
    del rows
    candidates.clear()
    assert there() is not None
    disk.stop_saving()
    assert there() is None and files(folder) == []
    disk.stop_saving()
    save(disk, ids)
    assert found(disk, ids) is not None
