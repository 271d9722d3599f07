"""Many readers of one stream see what each would have rendered alone, and the work is done once."""

from __future__ import annotations

import gc

from hypothesis import example, given
from hypothesis import strategies as st

from edgewise.dialects.shared_render import SharedRenderers
from edgewise.streams.log import Record


class RunningSum:
    """A renderer whose every block depends on all records before it; counts what it renders."""

    rendered = 0

    def __init__(self) -> None:
        self.seen: tuple[int, ...] = ()

    def render(self, record: Record) -> bytes:
        RunningSum.rendered += 1
        self.seen = (*self.seen, record.seq)
        return repr(self.seen).encode()


def records(count: int) -> list[Record]:
    return [Record(seq, 1, b"") for seq in range(count)]


def alone(count: int) -> list[bytes]:
    renderer = RunningSum()
    return [renderer.render(record) for record in records(count)]


def test_a_hundred_readers_cost_as_much_as_one() -> None:
    expected, shared = alone(20), SharedRenderers()
    readers = [shared.reader("s", RunningSum) for _ in range(100)]
    RunningSum.rendered = 0
    for record in records(20):
        assert {reader.render(record) for reader in readers} == {expected[record.seq]}
    assert RunningSum.rendered == 20


@example(steps=[0, 1, 2, 0, 0, 1, 2], kept=1)
@given(steps=st.lists(st.integers(0, 3), max_size=60), kept=st.integers(1, 4))
def test_readers_at_any_distance_see_the_same(steps: list[int], kept: int) -> None:
    """Four readers advance in any order; the blocks that are kept are few."""
    shared = SharedRenderers(kept)
    readers = [shared.reader("s", RunningSum) for _ in range(4)]
    said: list[list[bytes]] = [[] for _ in readers]
    for who in steps:
        said[who].append(readers[who].render(Record(len(said[who]), 1, b"")))
    assert all(blocks == alone(len(blocks)) for blocks in said)


def test_a_stream_without_readers_is_forgotten() -> None:
    shared = SharedRenderers()
    reader = shared.reader("s", RunningSum)
    reader.render(records(1)[0])
    del reader
    gc.collect()
    RunningSum.rendered = 0
    shared.reader("s", RunningSum).render(records(1)[0])
    assert RunningSum.rendered == 1
