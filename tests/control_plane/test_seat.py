"""Several gateways in one data directory: a seat for each, and one that looks for the first keys at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from control_plane.decisions.spill import SpillFile
from control_plane.seat import first_start, seated
from edgewise.wire.errors import DataDirError
from tests.control_plane.decisions.events import decided


def test_seats_are_taken_from_below_and_given_back(tmp_path: Path) -> None:
    with seated(tmp_path) as one, seated(tmp_path) as two:
        assert (one, two) == (0, 1)
    with seated(tmp_path) as again:
        assert again == 0


async def test_one_at_a_time_looks_for_the_first_keys(tmp_path: Path) -> None:
    order: list[str] = []

    async def look(name: str) -> None:
        async with first_start(tmp_path):
            order.append(name)
            await asyncio.sleep(0)
            order.append(name)

    await asyncio.gather(look("a"), look("b"))
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


def test_a_directory_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError), seated(tmp_path / "file"):
        pass


def test_no_seat_writes_into_anothers_spill(tmp_path: Path) -> None:
    first, second = SpillFile(tmp_path), SpillFile(tmp_path, seat=1)
    first.append([decided(1)])
    assert not second and second.take() == []
    second.append([decided(2)])
    assert first.take() == [decided(1)]
    assert SpillFile(tmp_path, seat=1).take() == [decided(2)]
