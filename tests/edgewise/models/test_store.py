"""Installing, using, going back, removing, verifying: what is written and what is not, and what is refused."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tracemalloc
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgewise.models import (
    Fault,
    ModelStore,
    NoSuchVersionError,
    NotForDevicesError,
    StoreBusyError,
    StoreDamagedError,
    StoreFullError,
    VersionInUseError,
)
from edgewise.models.disk import Disk
from edgewise.wire.errors import DataDirError, EdgewiseError, ManifestError, ModelDigestError, ModelMissingError
from edgewise.wire.manifest import FileEntry, load_manifest, write_manifest
from tests.edgewise.models.directories import FILES, faults_of, write_directory
from tests.edgewise.models.failing_disks import LinklessDisk

TENSORS = tuple(bytes([number]) * 5000 for number in range(6))
SMALL = sum(map(len, FILES.values()))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store with one version in use, of six tensors; its directory is `v1`."""
    write_directory(tmp_path / "v1", TENSORS)
    store = ModelStore(tmp_path / "models")
    store.use(store.install(tmp_path / "v1").version)
    return store


def test_the_version_in_use_is_a_model_directory(store: ModelStore, tmp_path: Path) -> None:
    assert load_manifest(store.path) == load_manifest(tmp_path / "v1")
    (only,) = store.versions()
    assert (only.version, only.name, only.files, only.current) == (store.current, "small", 9, True)
    assert only.total_bytes == only.own_bytes == sum(map(len, TENSORS)) + SMALL
    assert store.verify() == []
    assert faults_of(tmp_path / "models", settled=True) == []


def test_looking_takes_the_memory_of_the_manifests(store: ModelStore) -> None:
    tracemalloc.start()
    try:
        assert len(store.versions()) == 1
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_update_writes_only_what_changed(store: ModelStore, tmp_path: Path) -> None:
    changed = (b"changed" * 900, *TENSORS[1:])
    write_directory(tmp_path / "v2", changed, model=b"names the new one")
    done = store.install(tmp_path / "v2")
    assert done.new and done.written_files == 2
    assert done.written_bytes == len(changed[0]) + len(b"names the new one")
    one = [path for path in (tmp_path / "models" / "objects").iterdir() if path.read_bytes() == TENSORS[3]]
    assert one[0].stat().st_nlink == 3, "the content, and a link in each version"
    assert store.current != done.version
    again = store.install(tmp_path / "v2")
    assert (again.new, again.written_bytes, again.written_files) == (False, 0, 0)


def test_progress_counts_up_to_the_whole(tmp_path: Path) -> None:
    write_directory(tmp_path / "v1", TENSORS)
    told: list[tuple[int, int]] = []
    done = ModelStore(tmp_path / "models").install(tmp_path / "v1", lambda name, at, of: told.append((at, of)))
    assert told == sorted(told) and told[-1] == (done.total_bytes, done.total_bytes)
    told.clear()
    ModelStore(tmp_path / "models").install(tmp_path / "v1", lambda name, at, of: told.append((at, of)))
    assert told[-1] == (done.total_bytes, done.total_bytes)


def test_going_back_goes_down_a_stack(store: ModelStore, tmp_path: Path) -> None:
    ids = [store.current or ""]
    for number in range(2):
        write_directory(tmp_path / f"n{number}", model=b"graph %d" % number)
        ids.append(store.use(store.install(tmp_path / f"n{number}").version))
    assert store.previous == ids[1]
    assert [store.go_back(), store.go_back()] == [ids[1], ids[0]]
    with pytest.raises(NoSuchVersionError, match="no version to go back to"):
        store.go_back()
    assert store.use(ids[2][:12]) == ids[2] and store.previous == ids[0]


def test_a_version_that_was_removed_is_not_gone_back_to(store: ModelStore, tmp_path: Path) -> None:
    ids = [store.current or ""]
    for number in range(2):
        write_directory(tmp_path / f"n{number}", TENSORS, model=b"graph %d" % number)
        ids.append(store.use(store.install(tmp_path / f"n{number}").version))
    assert store.remove(ids[1]) == len(b"graph 0"), "the tensors are those of the others"
    assert store.previous == ids[0]
    with pytest.raises(VersionInUseError, match="is in use"):
        store.remove(ids[2])
    assert faults_of(tmp_path / "models", settled=True) == []


@pytest.mark.parametrize("version", ["", "zz", "../current", "."], ids=["empty", "unknown", "path", "dot"])
def test_versions_that_are_not_there(store: ModelStore, version: str) -> None:
    for change in (store.use, store.remove):
        with pytest.raises(NoSuchVersionError):
            change(version)
    assert store.verify() == []


def _truncate(directory: Path) -> None:
    (directory / "model.onnx").write_bytes(FILES["model.onnx"][:-1])


def _lengthen(directory: Path) -> None:
    (directory / "model.onnx").write_bytes(FILES["model.onnx"] * 1000)


def _change(directory: Path) -> None:
    (directory / "model.onnx").write_bytes(FILES["model.onnx"][::-1])


def _forget(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()


def _link(directory: Path) -> None:
    (directory / "model.onnx").rename(directory / "elsewhere")
    (directory / "model.onnx").symlink_to("elsewhere")


def _pipe(directory: Path) -> None:
    (directory / "model.onnx").unlink()
    os.mkfifo(directory / "model.onnx")


def _no_manifest(directory: Path) -> None:
    (directory / "manifest.json").unlink()


def _garbage(directory: Path) -> None:
    (directory / "manifest.json").write_bytes(b"{")


def _torch(directory: Path) -> None:
    write_manifest(directory, msgspec.structs.replace(load_manifest(directory), format="safetensors"))


def _digest_that_is_a_path(directory: Path) -> None:
    manifest = load_manifest(directory)
    write_manifest(directory, msgspec.structs.replace(manifest, files={"a": FileEntry("../../../a", 1)}))


def _negative(directory: Path) -> None:
    manifest = load_manifest(directory)
    write_manifest(directory, msgspec.structs.replace(manifest, files={"a": FileEntry("a" * 64, -1)}))


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (_truncate, ModelDigestError),
        (_lengthen, ModelDigestError),
        (_change, ModelDigestError),
        (_forget, ModelMissingError),
        (_link, ModelMissingError),
        (_pipe, ModelMissingError),
        (_no_manifest, ModelMissingError),
        (_garbage, ManifestError),
        (_torch, NotForDevicesError),
        (_digest_that_is_a_path, ManifestError),
        (_negative, ManifestError),
    ],
    ids=lambda each: each.__name__,
)
def test_a_directory_that_is_not_what_it_says(
    tmp_path: Path, damage: Callable[[Path], None], error: type[EdgewiseError]
) -> None:
    store = ModelStore(tmp_path / "models")
    write_directory(tmp_path / "good", (b"other" * 1000,), model=b"other", tokenizer=b"other")
    store.use(store.install(tmp_path / "good").version)
    before = store.versions()
    write_directory(tmp_path / "bad", TENSORS[:1])
    damage(tmp_path / "bad")
    with pytest.raises(error):
        store.install(tmp_path / "bad")
    assert store.versions() == before
    assert faults_of(tmp_path / "models", settled=True) == []


def test_damage_is_found_told_and_mended(store: ModelStore, tmp_path: Path) -> None:
    version = store.current or ""
    write_directory(tmp_path / "v2", TENSORS, model=b"other graph")
    store.install(tmp_path / "v2")
    rotten = sorted((store.path / "tensors").iterdir())[0]
    rotten.chmod(0o644)
    rotten.write_bytes(b"x" * 5000)
    (store.path / "model.onnx").unlink()
    found = store.verify()
    name = f"tensors/{rotten.name}"
    assert sorted((fault.file, fault.what, fault.version == version) for fault in found) == [
        ("model.onnx", "missing", True), (name, "changed", False), (name, "changed", True),
    ]  # fmt: skip
    store.use(next(each.version for each in store.versions() if each.version != version))
    with pytest.raises(StoreDamagedError, match=r"model\.onnx"):
        store.go_back()
    done = store.install(tmp_path / "v1")
    assert (done.written_files, done.written_bytes) == (1, 5000)
    assert faults_of(tmp_path / "models", settled=True) == []
    assert store.go_back() == version


def test_a_damaged_manifest_is_told_and_costs_nobody_their_files(store: ModelStore, tmp_path: Path) -> None:
    version = store.current or ""
    manifest = store.path / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes().replace(b'"small"', b'"other"'))
    assert store.verify() == [Fault(version=version, file="manifest.json", what="missing or changed")]
    write_directory(tmp_path / "v2", model=b"other graph")
    store.install(tmp_path / "v2")
    assert len(list((tmp_path / "models" / "objects").iterdir())) == 9 + 1
    store.install(tmp_path / "v1")
    assert faults_of(tmp_path / "models", settled=True) == []


def test_a_version_with_a_damaged_manifest_is_listed(store: ModelStore) -> None:
    (store.path / "manifest.json").unlink()
    (only,) = store.versions()
    assert (only.version, only.damaged, only.current) == (store.current, True, True)


def test_a_version_that_is_removed_while_all_is_read_is_no_fault(store: ModelStore, tmp_path: Path) -> None:
    write_directory(tmp_path / "v2", (b"2" * 5000,), model=b"other graph")
    second = store.install(tmp_path / "v2").version
    gone: list[int] = []
    assert store.verify(lambda name, at, of: gone.append(0 if gone else store.remove(second))) == []
    assert gone[0] > 0


def test_copies_of_other_versions_are_mended_without_links(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models", LinklessDisk())
    first, second = (write_directory(tmp_path / name, TENSORS, model=name.encode()).id for name in ("v1", "v2"))
    for name in ("v1", "v2"):
        store.install(tmp_path / name)
    rotten = sorted((tmp_path / "models" / "versions" / first / "tensors").iterdir())[0]
    rotten.chmod(0o644)
    rotten.write_bytes(b"x" * 5000)
    assert [fault.version for fault in store.verify()] == [first] != [second]
    store.install(tmp_path / "v2")
    assert store.verify() == []


class _Short(FileIO):
    """Takes a few bytes at a time, as a file may; `lost`: and loses some."""

    lost = 0

    def write(self, block: Any) -> int:
        return super().write(memoryview(block)[:1000]) + self.lost


@pytest.mark.parametrize("lost", [0, 1])
def test_a_copy_is_whole_whatever_a_write_takes(tmp_path: Path, lost: int) -> None:
    raw = bytes(range(256)) * 20
    source = FileIO(os.memfd_create("source"), "r+")  # of another file system: no blocks to share
    source.write(raw)
    source.seek(0)
    with source, _Short(tmp_path / "copy", "xb") as copy:
        copy.lost = lost
        with pytest.raises(OSError, match="another size") if lost else contextlib.nullcontext():
            Disk().fill(source, copy)
    assert lost or (tmp_path / "copy").read_bytes() == raw


def test_a_version_in_use_that_somebody_removed_is_told(store: ModelStore) -> None:
    version = store.current or ""
    shutil.rmtree(store.path.resolve())
    assert [(fault.version, fault.what) for fault in store.verify()] == [(version, "missing, and in use")]


def test_without_links_there_are_copies(tmp_path: Path) -> None:
    write_directory(tmp_path / "v1", TENSORS)
    store = ModelStore(tmp_path / "models", LinklessDisk())
    store.use(store.install(tmp_path / "v1").version)
    assert (store.path / "model.onnx").stat().st_nlink == 1
    assert load_manifest(store.path) == load_manifest(tmp_path / "v1")
    copy = store.path / "model.onnx"
    copy.chmod(0o644)
    copy.write_bytes(b"wrong")
    assert [fault.file for fault in store.verify()] == ["model.onnx"]
    assert store.install(tmp_path / "v1").written_bytes == 0, "its content was right"
    assert faults_of(tmp_path / "models", settled=True) == []


def test_one_change_at_a_time(store: ModelStore, tmp_path: Path) -> None:
    with (tmp_path / "models" / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for change in (lambda: store.install(tmp_path / "v1"), lambda: store.use("a"), store.go_back):
            with pytest.raises(StoreBusyError, match="Another process"):
                change()
    assert store.install(tmp_path / "v1").written_bytes == 0


def test_room_is_looked_at_before_the_work(tmp_path: Path) -> None:
    write_directory(tmp_path / "v1", TENSORS)
    store = ModelStore(tmp_path / "models", free=lambda folder: 20_000)
    with pytest.raises(StoreFullError, match="0 MB are free"):
        store.install(tmp_path / "v1")
    assert faults_of(tmp_path / "models", settled=True) == []


def test_what_a_killed_install_brought_is_used_or_goes(tmp_path: Path) -> None:
    """Its contents are taken up by the same install, and removed by another."""
    write_directory(tmp_path / "v1", TENSORS)
    write_directory(tmp_path / "v2", model=b"other graph")
    store = ModelStore(tmp_path / "models")
    store.install(tmp_path / "v1")
    (version,) = store.versions()
    shutil.rmtree(tmp_path / "models" / "versions" / version.version)  # as if it had not come so far
    assert store.install(tmp_path / "v1").written_bytes == 0
    shutil.rmtree(tmp_path / "models" / "versions" / version.version)
    store.install(tmp_path / "v2")
    assert faults_of(tmp_path / "models", settled=True) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    write_directory(tmp_path / "v1")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="cannot be changed"):
        ModelStore(tmp_path / "file" / "models").install(tmp_path / "v1")


def test_an_empty_store_has_nothing(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    assert (store.current, store.previous, store.versions(), store.verify()) == (None, None, [], [])
    assert not (tmp_path / "models").exists()
