"""Diagnostic lines: who is watched, what a line holds, and that a full queue never waits."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from edgewise.ids import new_id
from edgewise.observability.diagnostics import Diagnostics, Rules
from edgewise.observability.diagnostics_file import DiagnosticsFile
from edgewise.observability.observer import Observer
from edgewise.observability.trail import Trail
from tests.edgewise.observability.records import begun, observer


class Lines:
    """Keeps lines; a held one lets the writer wait."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.free = threading.Event()
        self.free.set()

    def write(self, line: str) -> None:
        self.free.wait()
        self.lines.append(json.loads(line))


def watched(rules: Rules, **more: Any) -> tuple[Observer, Diagnostics, Lines, Trail]:
    lines = Lines()
    diagnostics = Diagnostics(lines, clock=iter(range(10_000)).__next__, **more)
    diagnostics.switch(rules)
    seen, _ = observer(diagnostics=diagnostics)
    return seen, diagnostics, lines, begun(seen)


def events(seen: Observer, trail: Trail) -> None:
    assert trail.watch is not None
    trail.watch.moved(12.5)
    trail.watch.said((7, 8))
    trail.appended(0.1)
    trail.watch.said(())
    seen.ended(trail, finish="stop")


def test_every_event_of_a_watched_stream_is_a_line_without_text() -> None:
    seen, diagnostics, lines, trail = watched(Rules(streams=frozenset({"s1"})))
    events(seen, trail)
    diagnostics.stop()
    assert [line["action"] for line in lines.lines] == ["tier", "token", "append", "token", "stop"]
    assert [line["buffer_size"] for line in lines.lines] == [0, 2, 0, 1, 1]
    assert [line["total_tokens"] for line in lines.lines] == [0, 2, 2, 3, 3]
    assert lines.lines[1] == {
        "stream_id": "s1", "token_id": 8, "latency": 1000.0, "buffer_size": 2, "network_rtt": 12.5,
        "action": "token", "total_tokens": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        (Rules(), False),
        (Rules(share=1.0), True),
        (Rules(keys=frozenset({"k1"})), True),
        (Rules(keys=frozenset({"k2"}), streams=frozenset({"s2"})), False),
    ],
)
def test_who_is_watched(rules: Rules, wanted: bool) -> None:
    _, diagnostics, _, trail = watched(rules)
    assert (trail.watch is not None) is wanted
    diagnostics.stop()


def test_a_share_of_streams_is_the_same_on_every_gateway() -> None:
    sids = [new_id() for _ in range(2000)]
    chosen = [sid for sid in sids if Rules(share=0.1).want(sid, "")]
    assert 0.05 < len(chosen) / len(sids) < 0.15
    assert chosen == [sid for sid in sids if Rules(share=0.1).want(sid, "")]


def test_a_running_stream_is_switched_on_and_off() -> None:
    seen, diagnostics, _, trail = watched(Rules())
    assert trail.watch is None
    diagnostics.switch(Rules(keys=frozenset({"k1"})))
    assert trail.watch is not None
    diagnostics.switch(Rules())
    assert trail.watch is None
    seen.ended(trail, finish="stop")
    diagnostics.switch(Rules(share=1.0))
    assert trail.watch is None
    diagnostics.stop()


def test_what_finds_the_queue_full_is_dropped_and_counted() -> None:
    seen, diagnostics, lines, trail = watched(Rules(share=1.0), queue_max=2)
    lines.free.clear()
    assert trail.watch is not None
    for _ in range(10):
        trail.watch.note("warn")
    assert seen.meter.counter("edgewise.diagnostics.dropped").series[()] >= 7
    lines.free.set()
    diagnostics.stop()


def test_without_a_file_nothing_is_watched() -> None:
    seen, _ = observer()
    seen.diagnostics.switch(Rules(share=1.0))
    assert begun(seen).watch is None
    assert not seen.diagnostics.able


def test_a_long_file_is_begun_anew_and_the_one_before_is_kept(tmp_path: Path) -> None:
    file = DiagnosticsFile(tmp_path / "made" / "d.jsonl", max_bytes=10)
    for number in range(3):
        file.write(f"line {number:5}")
    assert (tmp_path / "made" / "d.1.jsonl").read_text() == "line     2\n"
    assert not (tmp_path / "made" / "d.jsonl").exists()
