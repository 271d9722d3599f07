"""The tables of rungs, and that the page for operators says the same thresholds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_agent.ladder.climb import Rung, Table
from edge_agent.ladder.tables import (
    LadderSettings,
    battery_table,
    contention_table,
    heat_table,
    memory_table,
)

PAGE = Path(__file__).parents[3] / "docs/howto/a-device-under-stress.md"
TABLES = [make(LadderSettings(cores=8)) for make in (memory_table, heat_table, battery_table, contention_table)]
RUNGS = [pytest.param(table, rung, id=f"{table.ladder}-{rung.name}") for table in TABLES for rung in table.rungs]


def told(table: Table, rung: Rung) -> list[str]:
    """The page's cells for a rung: its name, when it is entered, left, and what it does."""
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index(f"**{table.ladder.capitalize()}.**") :]
    found = re.search(rf"^\| `{rung.name}`.*$", section, flags=re.M)
    assert found, f"{rung.name} is not on the page"
    return [cell.strip() for cell in found.group().strip("|").split("|")]


@pytest.mark.parametrize(("table", "rung"), RUNGS)
def test_the_page_tells_every_threshold(table: Table, rung: Rung) -> None:
    name, entered, *_ = told(table, rung)
    for bound in rung.bounds:
        assert re.search(rf"\b{bound.enter:g}\b", entered) or bound.signal.name == "throttled_s", bound
    assert ("urgent" in name) == rung.urgent


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 64])
def test_contention_fits_the_cores(cores: int) -> None:
    table = contention_table(LadderSettings(cores=cores))
    threads = [limits.threads for limits in table.limits]
    assert threads == ([None, 1] if cores < 4 else [None, cores // 2, 1])
    assert all(not limits.spinning for limits in table.limits[1:]) and table.start == len(table.rungs)
