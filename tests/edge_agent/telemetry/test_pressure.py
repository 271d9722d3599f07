"""Want of memory: PSI and control groups from files as Linux writes them, and from any other text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.telemetry.pressure import (
    MemoryPressure,
    Room,
    Stalls,
    parse_group,
    parse_reclaimable,
    parse_stalls,
)

PSI = "some avg10=4.25 avg60=1.00 avg300=0.20 total=12345\nfull avg10=1.50 avg60=0.40 avg300=0.05 total=678\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("text", "stalls"),
    [
        (PSI, Stalls(4.25, 1.5)),
        (PSI.splitlines()[0], Stalls(4.25, None)),
        ("", Stalls()),
        ("some avg60=1.00\nfull", Stalls()),
        ("some avg10=nan\nfull avg10=101", Stalls()),
        ("some avg10=-1 avg10=2", Stalls(2.0, None)),
    ],
)
def test_stalls_are_what_the_kernel_says(text: str, stalls: Stalls) -> None:
    assert parse_stalls(text) == stalls


@given(
    st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=200) | st.text("somefull avg10=.-5\n", max_size=80)
)
def test_any_text_gives_shares_or_nothing(text: str) -> None:
    stalls = parse_stalls(text)
    assert all(share is None or 0.0 <= share <= 100.0 for share in (stalls.some_pct, stalls.full_pct))
    assert parse_reclaimable(text) >= 0
    group = parse_group(text)
    assert group is None or (group.is_absolute() and ".." not in group.parts)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/edgewise.service\n", "/system.slice/edgewise.service"),
        ("4:memory:/old\n0::/\n", "/"),
        ("4:memory:/old\n", None),
        ("0::/../../etc\n", None),
        ("0::relative\n", None),
    ],
)
def test_the_group_is_that_of_version_2(text: str, path: str | None) -> None:
    assert (None if (group := parse_group(text)) is None else str(group)) == path


def test_room_is_what_the_narrowest_group_leaves(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/slice/unit\n")
    groups = tmp_path / "sys/fs/cgroup"
    write(groups / "slice/unit/memory.max", "max\n")
    write(groups / "slice/unit/memory.current", "100\n")
    assert MemoryPressure(tmp_path).room() is None
    write(groups / "slice/memory.max", "1000\n")
    write(groups / "slice/memory.current", "900\n")
    assert MemoryPressure(tmp_path).room() == Room(1000, 100)
    write(groups / "slice/memory.stat", "anon 500\ninactive_file 250\n")
    assert MemoryPressure(tmp_path).room() == Room(1000, 350)
    write(groups / "slice/unit/memory.max", "120\n")
    assert MemoryPressure(tmp_path).room() == Room(120, 20)


def test_where_a_group_is_slowed_before_its_limit_that_is_the_room(tmp_path: Path) -> None:
    """MemoryHigh of a systemd unit, with and without MemoryMax."""
    write(tmp_path / "proc/self/cgroup", "0::/unit\n")
    group = tmp_path / "sys/fs/cgroup/unit"
    write(group / "memory.current", "100\n")
    for high, most, limit in (("600", "750", 600), ("600", "max", 600), ("max", "750", 750), ("900", "750", 750)):
        write(group / "memory.high", f"{high}\n")
        write(group / "memory.max", f"{most}\n")
        assert MemoryPressure(tmp_path).room() == Room(limit, limit - 100)


def test_a_system_without_these_files_says_nothing(tmp_path: Path) -> None:
    assert MemoryPressure(tmp_path).stalls() == Stalls() and MemoryPressure(tmp_path).room() is None
    write(tmp_path / "proc/pressure/memory", PSI)
    assert MemoryPressure(tmp_path).stalls() == Stalls(4.25, 1.5)


def test_a_group_with_senseless_numbers_sets_no_limit(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    for limit, used in (("0", "5"), ("-7", "5"), ("many", "5"), ("9" * 30, "5"), ("100", "")):
        write(tmp_path / "sys/fs/cgroup/memory.max", limit)
        write(tmp_path / "sys/fs/cgroup/memory.current", used)
        assert MemoryPressure(tmp_path).room() is None
