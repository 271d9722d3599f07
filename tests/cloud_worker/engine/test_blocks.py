"""The block pool: nothing is lost or given twice, runs are kept together, links tell prompts and owners apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from cloud_worker.engine.blocks import BlockPool, blocks_for, chain
from cloud_worker.engine.free_runs import FreeRuns
from cloud_worker.engine.work import BLOCK_TOKENS, BlockCopy

PROMPTS = st.lists(st.integers(0, 1), max_size=4).map(
    lambda tiles: tuple(t for t in tiles for _ in range(BLOCK_TOKENS))
)


class PoolMachine(RuleBasedStateMachine):
    """Tables come and go as a scheduler's would; `written` is what each block holds."""

    tables = Bundle("tables")

    @initialize(count=st.integers(1, 24))
    def begin(self, count: int) -> None:
        self.pool = BlockPool(count)
        self.all: list[list[int]] = []
        self.written: dict[int, bytes] = {}

    @rule(target=tables, prompt=PROMPTS, more=st.integers(0, 6), read=st.integers(0, 4))
    def place(self, prompt: tuple[int, ...], more: int, read: int) -> list[int]:
        """A prompt's known tiles, the blocks for the rest, of which some are read and named."""
        links = chain(prompt)
        hits = self.pool.match(links)
        assert [self.written[block] for block in hits] == list(links[: len(hits)]), "a hit holds another tile"
        wanted = len(links) - len(hits) + more
        if wanted + self.pool.cost(hits) > self.pool.room:
            return self._kept([])
        self.pool.share(hits)
        table = hits + self.pool.allocate(wanted, after=hits[-1] if hits else None)
        for index in range(len(hits), min(len(links), len(hits) + read)):
            self.written[table[index]] = links[index]
            self.pool.name(table[index], links[index])
        return self._kept(table)

    @rule(target=tables, table=tables)
    def fork(self, table: list[int]) -> list[int]:
        return self._kept(self.pool.fork(table) if any(each is table for each in self.all) else [])

    @rule(table=tables, index=st.integers(0, 9))
    def own(self, table: list[int], index: int) -> None:
        if not any(each is table for each in self.all) or index >= len(table):
            return
        before, was_shared = table[index], self.pool.shared(table[index])
        if was_shared and not self.pool.room:
            with pytest.raises(ValueError, match="1 blocks are wanted"):
                self.pool.own(table, index, 3)
            return
        copy = self.pool.own(table, index, 3)
        assert copy == (BlockCopy(before, table[index], 3) if was_shared else None)
        assert not self.pool.shared(table[index])
        if was_shared:
            self.written.pop(table[index], None)

    @rule(table=consumes(tables))
    def release(self, table: list[int]) -> None:
        if any(each is table for each in self.all):
            self.all = [each for each in self.all if each is not table]
            self.pool.release(table)

    @rule(wanted=st.integers(1, 40))
    def refuse(self, wanted: int) -> None:
        if wanted > self.pool.room:
            before = self.pool.free, self.pool.idle
            with pytest.raises(ValueError, match="can be had"):
                self.pool.allocate(wanted)
            assert (self.pool.free, self.pool.idle) == before

    @invariant()
    def whole(self) -> None:
        if hasattr(self, "pool"):
            self.pool.check_integrity(self.all)

    def _kept(self, table: list[int]) -> list[int]:
        self.all += [table] if table else []
        return table


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPool = PoolMachine.TestCase


@given(
    st.integers(0, 40),
    st.lists(st.tuples(st.booleans(), st.integers(0, 50), st.none() | st.integers(0, 39)), max_size=60),
)
@settings(max_examples=150)
def test_free_runs_are_a_set_that_knows_neighbours(count: int, calls: list[tuple[bool, int, int | None]]) -> None:
    runs, taken = FreeRuns(count), list[int]()
    for take, number, after in calls:
        if take:
            got = runs.take(number, after if after is not None and after < count else None)
            free = set(range(count)) - set(taken)
            assert set(got) <= free and len(got) <= number
            assert got == list(range(got[0], got[0] + len(got))) if got else not number or not free
            taken += got
        elif taken:
            start = taken[number % len(taken)]
            given = [start, start + 1] if start + 1 in taken else [start]
            taken = [each for each in taken if each not in given]
            runs.give(start, len(given))
        assert len(runs) == count - len(taken)
        runs.check_integrity()


def test_a_block_is_not_given_back_twice() -> None:
    runs, pool = FreeRuns(4), BlockPool(4)
    with pytest.raises(ValueError, match="free already"):
        runs.give(2)
    table = pool.allocate(2)
    pool.release(table)
    with pytest.raises(ValueError, match="nobody's"):
        pool.release(table)


def test_blocks_of_one_request_are_neighbours_where_that_is_possible() -> None:
    pool = BlockPool(16)
    first, second = pool.allocate(4), pool.allocate(4)
    assert (first, second) == ([0, 1, 2, 3], [4, 5, 6, 7])
    pool.release(first)
    assert pool.allocate(4) == first, "a hole that fits, before a long run is broken"
    pool.release(first)
    assert pool.allocate(6) == [8, 9, 10, 11, 12, 13], "the run that holds all, not the first hole"
    assert pool.allocate(2, after=13) == [14, 15], "goes on where it ended"
    assert pool.allocate(3) == [0, 1, 2]


def test_the_end_of_a_chain_is_forgotten_first_and_only_when_room_is_wanted() -> None:
    pool, links = BlockPool(4), chain(range(3 * BLOCK_TOKENS))
    table = pool.allocate(3)
    for block, link in zip(table, links, strict=True):
        pool.name(block, link)
    pool.release(table)
    assert (pool.free, pool.idle, pool.used) == (1, 3, 0)
    assert pool.match(links) == table
    pool.allocate(2)
    assert pool.match(links) == table[:2]


def test_a_tile_that_is_known_elsewhere_stays_there() -> None:
    pool, (link,) = BlockPool(2), chain(range(BLOCK_TOKENS))
    first, second = pool.allocate(2)
    pool.name(first, link)
    pool.name(second, link)
    assert pool.match([link]) == [first]
    pool.release([second])
    assert pool.free == 1


IDS = st.lists(st.integers(0, 2**31), max_size=70)
EXTRA = st.dictionaries(st.sampled_from(["lora", "image", ""]), st.binary(max_size=3), max_size=2)


@given(IDS, IDS, st.binary(max_size=3), st.binary(max_size=3), EXTRA, EXTRA)
def test_links_are_equal_just_where_everything_before_is(
    ids: list[int], others: list[int], salt: bytes, other_salt: bytes, extra: dict[str, bytes], other: dict[str, bytes]
) -> None:
    links, more = chain(ids, salt, extra), chain(ids + others, salt, extra)
    assert len(links) == blocks_for(len(ids))
    whole = len(ids) // BLOCK_TOKENS
    assert links[:whole] == more[:whole]
    assert (links == more) == (not others)
    if (salt, extra) != (other_salt, other):
        assert not set(links) & set(chain(ids, other_salt, other))


def test_a_tag_and_its_value_cannot_be_taken_for_another_tag() -> None:
    prompt = range(4)
    assert chain(prompt, b"a", {"b": b"c"}) != chain(prompt, b"", {"a": b"", "b": b"c"})
    assert chain(prompt, extra={"ab": b"c"}) != chain(prompt, extra={"a": b"bc"})
