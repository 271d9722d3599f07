"""Rows and contexts within limits that change while they are kept, and their way to another engine of a graph."""

from __future__ import annotations

from pathlib import Path

from edgewise.graphs import DecoderGraph
from tests.edge_agent.runtime.drive import prompt_of
from tests.edge_agent.runtime.test_slots import SYSTEM, disk_in, graph, read, slots_on, take

__all__ = ["graph"]


def test_limits_give_contexts_up_and_let_them_be_kept_again(graph: DecoderGraph) -> None:
    slots, other = slots_on(graph), prompt_of(90, seed=2)
    read(slots, SYSTEM + other)
    read(slots, other)  # what the row held was copied into memory
    slots.limit(0.0, keep_idle=True)
    assert read(slots, SYSTEM + other) == 0
    slots.limit(1.0, keep_idle=False)
    assert slots.idle_bytes == 0
    read(slots, other)
    assert slots.idle_bytes == slots.kv_bytes == 0 and read(slots, other) == 0
    slots.limit(0.5, keep_idle=True)
    read(slots, other)
    assert read(slots, other) == len(other) - 1
    slots.check_integrity()


def test_contexts_are_handed_on_and_taken_over_with_their_bits(graph: DecoderGraph, tmp_path: Path) -> None:
    old, new, other = slots_on(graph, 2, disk=disk_in(tmp_path, graph)), slots_on(graph), prompt_of(90, seed=2)
    read(old, other)
    taken, row = take(old, SYSTEM + other)  # still running, and nothing of it was reused
    row.forward(SYSTEM + other, many=True)
    new.take_over(old.hand_on())
    assert old.idle_bytes == 0 and old.idle_work() is None
    assert read(new, other) == len(other) - 1
    old.give_back(taken, SYSTEM + other)
    new.take_over(old.hand_on())
    assert read(new, SYSTEM + other) == len(SYSTEM + other) - 1
    for slots in (old, new):
        slots.check_integrity()
