"""The self-check on graphs that keep what exactness rests on and on some that do not, and what is remembered of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge_agent.runtime import OnnxEngine, self_check
from edge_agent.runtime.engine import EngineOptions
from edgewise.graphs import CacheRow, DecoderGraph, Logits
from tests.edge_agent.runtime.drive import answer, state

TINY = 1e-6


class SplitRow(CacheRow):
    """Its bits tell how many tokens a call had."""

    def forward(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        return super().forward(ids, rows, many=many) + TINY * len(ids)


class SizedRow(CacheRow):
    """Its bits tell how large the buffers are."""

    def forward(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        return super().forward(ids, rows, many=many) + TINY * self.capacity


class SizedTiles(CacheRow):
    """Tells it in calls of several rows only."""

    def forward(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        return super().forward(ids, rows, many=many) + TINY * self.capacity * many


class TiredRow(CacheRow):
    """Its calls of one token tell how many there were before them."""

    calls = 0

    def forward(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        self.calls += not many
        return super().forward(ids, rows, many=many) + TINY * self.calls


class LonelyRow(CacheRow):
    """Does not pad, so that odd calls leave a row alone."""

    def forward(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        return super().forward(ids, rows)


class ChunkyRow(CacheRow):
    """Leaves other rows in its cache when a call is long."""

    def forward(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        logits = super().forward(ids, rows, many=many)
        if len(ids) > 40:
            self.write(self.length - 1, self.read(self.length - 1, self.length) + np.float32(TINY))
        return logits


class CountingRow(CacheRow):
    """Counts what is run."""

    calls = 0

    def forward(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        type(self).calls += 1
        return super().forward(ids, rows, many=many)


class SomeGraph(DecoderGraph):
    """The tiny graph with rows of some kind."""

    kind: type[CacheRow] = CacheRow

    def new_row(self, capacity: int) -> CacheRow:
        return self.kind(self.session, self.shape, capacity)


def graph_of(kind: type[CacheRow], directory: Path) -> DecoderGraph:
    return type("Graph", (SomeGraph,), {"kind": kind}).load(directory / "model.onnx")  # type: ignore[attr-defined,no-any-return]


def test_the_tiny_graph_keeps_what_exactness_rests_on(tiny_dir: Path) -> None:
    assert self_check.holds(graph_of(CacheRow, tiny_dir), 512)


@pytest.mark.parametrize("kind", [SplitRow, SizedRow, SizedTiles, TiredRow, LonelyRow, ChunkyRow])
def test_bits_that_depend_on_anything_else_are_found(tiny_dir: Path, kind: type[CacheRow]) -> None:
    assert not self_check.holds(graph_of(kind, tiny_dir), 512)


def test_what_was_found_is_not_tried_again(tiny_dir: Path, tmp_path: Path) -> None:
    graph = graph_of(CountingRow, tiny_dir)
    folder = tmp_path / "new" / "folder"
    assert self_check.remembered(graph, "kernels", "digest", folder, 512)
    CountingRow.calls = 0
    assert self_check.remembered(graph, "kernels", "digest", folder, 512)
    assert CountingRow.calls == 0
    assert self_check.remembered(graph, "other kernels", "digest", folder, 512)
    assert self_check.remembered(graph, "kernels", "other digest", folder, 512)
    assert CountingRow.calls > 0


def test_a_failure_is_remembered_too(tiny_dir: Path, tmp_path: Path) -> None:
    assert not self_check.remembered(graph_of(SplitRow, tiny_dir), "kernels", "digest", tmp_path, 512)
    assert not self_check.remembered(graph_of(CacheRow, tiny_dir), "kernels", "digest", tmp_path, 512)


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b'{"key": "x", "holds": false}', b'{"key": 1}'])
def test_a_damaged_note_is_tried_again(tiny_dir: Path, tmp_path: Path, content: bytes) -> None:
    graph = graph_of(CacheRow, tiny_dir)
    assert self_check.remembered(graph, "kernels", "digest", tmp_path, 512)
    (note,) = tmp_path.iterdir()
    note.write_bytes(content)
    assert self_check.remembered(graph, "kernels", "digest", tmp_path, 512)
    assert note.read_bytes() != content


def test_a_folder_that_cannot_be_written_costs_a_check_and_nothing_else(tiny_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert self_check.remembered(graph_of(CacheRow, tiny_dir), "kernels", "digest", tmp_path / "file" / "folder", 512)


def test_an_engine_on_a_machine_that_is_not_exact_says_so_once_and_works(
    tiny_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = EngineOptions(machine_dir=tmp_path)
    exact = OnnxEngine.load(tiny_dir, options)
    (note,) = tmp_path.glob("exact-*.json")
    note.write_bytes(note.read_bytes().replace(b"true", b"false"))
    with caplog.at_level(logging.WARNING):
        engine = OnnxEngine.load(tiny_dir, options)
        assert answer(engine, state()) == answer(exact, state())
    assert engine.numerics_id == f"{exact.numerics_id}/inexact"
    assert len([line for line in caplog.records if "not exact" in line.getMessage()]) == 1
