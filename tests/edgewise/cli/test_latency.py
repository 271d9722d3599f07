"""`edgewise status --latency`: the five points as a table, and as JSON for programs."""

from __future__ import annotations

import json

from tests.edgewise.cli.conftest import Command
from tests.edgewise.cli.fake_api import FakeApi

POINT = {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "mean_ms": 1.0}
FOUND = {
    "answers": 7,
    "points": {"network": POINT, "model": POINT | {"mean_ms": 3.0, "p99_ms": 123.4}},
    "first_token": POINT,
    "total": None,
}


def test_the_table_has_a_bar_for_every_point(api: FakeApi, command: Command) -> None:
    api.json("GET", "/admin/v1/latency", FOUND)
    done = command("status", "--latency")
    assert done.code == 0
    for text in ("last 7 answers", "network", "123.4 ms", "25%", "75%", "first token"):
        assert text in done.out
    assert "total" not in done.out
    rows = {line.split()[0]: line.count("█") for line in done.out.splitlines() if "█" in line}
    assert rows == {"network": 6, "model": 18}


def test_programs_get_what_the_control_plane_said(api: FakeApi, command: Command) -> None:
    api.json("GET", "/admin/v1/latency", FOUND)
    assert json.loads(command("status", "--latency", "--json").out) == FOUND


def test_nothing_answered_yet_is_an_empty_table(api: FakeApi, command: Command) -> None:
    empty = {"answers": 0, "points": {}, "first_token": None, "total": None}
    api.json("GET", "/admin/v1/latency", empty)
    assert "none" in command("status", "--latency").out
