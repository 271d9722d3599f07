"""Where contexts are saved: where nobody else can look or where it was wished, and what is said where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.runtime.kv_disk import DiskOptions, KvDisk, disk_options, forget_saved, open_disk
from edge_agent.runtime.kv_file import Origin

ORIGIN = Origin(graph="g", numerics="n", planes=4, kv_heads=2, head_dim=16, dtype="<f4", element="exact")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "agent" / "prefixes"


def put(folder: Path) -> None:
    """Something that an earlier process saved."""
    folder.mkdir(parents=True)
    (folder / "0.kv").write_bytes(b"saved")


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_folder_that_is_a_link_is_not_used(tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.parent.mkdir()
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        KvDisk(DiskOptions(folder, 1 << 20), ORIGIN)
    assert open_disk(DiskOptions(folder, 1 << 20), ORIGIN) is None
    assert "no contexts are saved" in caplog.text
    assert open_disk(None, ORIGIN) is None


def test_a_device_that_saves_no_longer_forgets_what_it_saved(folder: Path) -> None:
    forget_saved(folder)
    put(folder)
    (folder / "notes.txt").write_text("not ours")
    forget_saved(folder)
    assert [path.name for path in files(folder)] == ["notes.txt"]


@pytest.mark.parametrize(
    ("mode", "wished", "mib"), [(0o700, None, 256), (0o750, None, 0), (0o755, 8, 8), (0o700, 0, 0)]
)
def test_contexts_are_saved_where_nobody_else_can_look_or_where_it_was_wished(
    folder: Path, mode: int, wished: int | None, mib: int
) -> None:
    put(folder)
    folder.parent.chmod(mode)
    options = disk_options(folder.parent, wished, 60.0)
    assert options == (DiskOptions(folder, mib << 20, 60.0) if mib else None)
    assert bool(files(folder)) == bool(mib)


def test_a_data_directory_behind_a_link_is_looked_at_where_it_is(folder: Path, tmp_path: Path) -> None:
    """As a service manager makes it: /var/lib/NAME leads to /var/lib/private/NAME."""
    put(folder)
    folder.parent.chmod(0o700)
    link = tmp_path / "link"
    link.symlink_to(folder.parent.name)
    options = disk_options(link, None, 60.0)
    assert options == DiskOptions(folder, 256 << 20, 60.0)
    assert len(files(folder)) == 1
    folder.parent.chmod(0o755)
    assert disk_options(link, None, 60.0) is None and files(folder) == []


def test_a_link_inside_the_data_directory_is_neither_used_nor_emptied(folder: Path) -> None:
    elsewhere = folder.with_name("elsewhere")
    put(elsewhere)
    folder.symlink_to(elsewhere)
    folder.parent.chmod(0o700)
    assert open_disk(disk_options(folder.parent, None, 60.0), ORIGIN) is None
    assert disk_options(folder.parent, 0, 60.0) is None
    assert len(files(elsewhere)) == 1


@pytest.mark.parametrize(("wished", "why"), [(None, "others can look into"), (0, "switched off"), (8, "")])
def test_that_nothing_is_saved_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wished: int | None, why: str
) -> None:
    tmp_path.chmod(0o755)
    caplog.set_level("INFO")
    disk_options(tmp_path, wished, 60.0)
    said = [record.message for record in caplog.records]
    assert len(said) == bool(why) and all(why in line for line in said)
