"""Rows with the beginnings of prompts: from a slot, memory or disk, with the bits that reading would give."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edge_agent.runtime.kv_disk import DiskOptions, KvDisk, Saved
from edge_agent.runtime.kv_file import Origin
from edge_agent.runtime.numerics import Numerics
from edge_agent.runtime.prefixes import Contexts
from edge_agent.runtime.slots import LEAST_ROW_TOKENS, Slot, Slots
from edgewise.graphs import CacheRow, DecoderGraph, KvRows
from edgewise.wire.manifest import Manifest
from tests.edge_agent.runtime.drive import answer, prompt_of, run_all, state

CAPACITY = 256
MANY_BYTES = 1 << 24
SYSTEM = prompt_of(40, seed=100)


@pytest.fixture(scope="module")
def graph(tiny_dir: Path) -> DecoderGraph:
    return DecoderGraph.load(tiny_dir / "model.onnx")


def slots_on(graph: DecoderGraph, count: int = 1, prefix_bytes: int = MANY_BYTES, **more: Any) -> Slots:
    return Slots(graph, count=count, capacity=CAPACITY, contexts=Contexts(prefix_bytes), **more)


def disk_in(folder: Path, graph: DecoderGraph, kind: type[KvDisk] = KvDisk) -> KvDisk:
    origin = Origin.of(graph.shape, graph="g", numerics="n", exact=True)
    return kind(DiskOptions(folder, MANY_BYTES), origin)


class NoMemory(KvDisk):
    """Runs out of memory after the first block."""

    def read(self, saved: Saved, tokens: int) -> Iterator[KvRows]:
        yield next(super().read(saved, tokens))
        raise MemoryError


def take(slots: Slots, ids: tuple[int, ...], **fields: Any) -> tuple[Slot, CacheRow]:
    taken = slots.take(state(ids, **fields))
    assert taken is not None
    return taken


def read(slots: Slots, ids: tuple[int, ...], **fields: Any) -> int:
    """Read a whole prompt and give its row back; how many tokens were there already. All rows are what they should."""
    slot, row = take(slots, ids, **fields)
    reused = row.length
    row.forward(ids[reused:], many=True)
    fresh = slots._graph.new_row(CAPACITY)
    fresh.forward(ids, many=True)
    assert row.read(0, len(ids)).tobytes() == fresh.read(0, len(ids)).tobytes()
    slots.give_back(slot, ids)
    slots.check_integrity()
    return reused


def test_the_next_turn_goes_on_where_the_last_one_ended(graph: DecoderGraph) -> None:
    slots = slots_on(graph)
    first = prompt_of(77)
    assert read(slots, first) == 0
    assert read(slots, first + prompt_of(30, seed=2)) == 77
    assert read(slots, first) == 64  # what stands in the third block is known by its name only
    assert len(slots._contexts) == 1  # what that lost was copied


def test_chats_that_take_turns_in_one_row_are_each_found_again(graph: DecoderGraph) -> None:
    slots = slots_on(graph)
    chats = [prompt_of(90, seed=seed) for seed in range(4)]
    assert [read(slots, chat) for chat in chats] == [0, 0, 0, 0]
    longer = [chat + prompt_of(40, seed=9) for chat in chats]
    assert [read(slots, chat) for chat in longer] == [90, 90, 90, 90]


def test_without_room_in_memory_only_rows_remember(graph: DecoderGraph) -> None:
    slots = slots_on(graph, count=2, prefix_bytes=0)
    chats = [prompt_of(90, seed=seed) for seed in range(3)]
    assert [read(slots, chat) for chat in chats] == [0, 0, 0]
    assert [read(slots, (*chat, 5)) for chat in chats[::-1]] == [90, 90, 0]


def test_a_context_larger_than_the_budget_is_kept_as_far_as_it_fits(graph: DecoderGraph) -> None:
    slots = slots_on(graph, prefix_bytes=70 * graph.shape.kv_bytes_per_token)
    chat = prompt_of(200)
    read(slots, chat)
    read(slots, prompt_of(90, seed=2))
    assert read(slots, chat) == 64


def test_a_system_prompt_is_kept_by_being_used(graph: DecoderGraph) -> None:
    slots = slots_on(graph, prefix_bytes=250 * graph.shape.kv_bytes_per_token)
    assert read(slots, (*SYSTEM, 5)) == 0
    found = [read(slots, SYSTEM + prompt_of(60, seed=seed)) for seed in range(12)]
    assert found[0] == 40 and all(reused >= 32 for reused in found)


def test_a_context_that_was_copied_is_forgotten_last(graph: DecoderGraph) -> None:
    slots = slots_on(graph, prefix_bytes=128 * graph.shape.kv_bytes_per_token)
    a, b, c = (prompt_of(64, seed=seed) for seed in range(3))
    assert [read(slots, chat) for chat in (a, b, c)] == [0, 0, 0]
    assert [read(slots, (*chat, 5)) for chat in (a, b)] == [64, 0]


def test_a_running_answers_beginning_is_copied_for_another(graph: DecoderGraph) -> None:
    slots = slots_on(graph, count=2, prefix_bytes=0)
    read(slots, SYSTEM)
    running, row = take(slots, SYSTEM + prompt_of(50, seed=1))
    row.forward(prompt_of(50, seed=1), many=True)
    assert read(slots, SYSTEM + prompt_of(50, seed=2)) == 40
    assert slots.take(state(SYSTEM)) is not None and slots.take(state(SYSTEM)) is None
    slots.give_back(running, SYSTEM)


def test_a_prompt_takes_the_row_whose_loss_is_least(graph: DecoderGraph) -> None:
    slots = slots_on(graph, count=2)
    a, b = SYSTEM + prompt_of(100, seed=1), SYSTEM + prompt_of(20, seed=2)
    slot_a, row_a = take(slots, a)
    slot_b, row_b = take(slots, b)
    row_a.forward(a, many=True)
    row_b.forward(b, many=True)
    slots.give_back(slot_a, a)
    slots.give_back(slot_b, b)
    assert take(slots, SYSTEM + prompt_of(20, seed=3))[0] is slot_b


def test_kept_ids_beyond_what_the_row_holds_are_not_believed(graph: DecoderGraph) -> None:
    slots = slots_on(graph)
    ids = prompt_of(100)
    slot, row = take(slots, ids)
    row.forward(ids[:64], many=True)
    slots.give_back(slot, ids)
    slots.check_integrity()
    assert read(slots, ids) == 64


def test_idle_memory_is_given_up_the_least_recently_used_first_and_no_running_answers(graph: DecoderGraph) -> None:
    slots = slots_on(graph, count=2)
    for seed in (1, 2, 3):
        read(slots, prompt_of(64, seed=seed))
    running, row = take(slots, (*prompt_of(64, seed=3), 5))
    token = graph.shape.kv_bytes_per_token
    assert slots.idle_bytes == 128 * token  # a context in memory, and the row of the second prompt
    slots.give_up(token)
    assert slots.idle_bytes == 64 * token and len(slots._contexts) == 0
    slots.give_up(100 * token)
    assert slots.idle_bytes == 0 and row.length == 64
    slots.give_back(running, prompt_of(64, seed=3))
    slots.check_integrity()
    assert [read(slots, (*prompt_of(64, seed=seed), 5)) for seed in (3, 2, 4, 3)] == [64, 0, 0, 64]


def test_owners_do_not_share_rows(graph: DecoderGraph, tmp_path: Path) -> None:
    disk = disk_in(tmp_path / "kv", graph)
    slots = slots_on(graph, disk=disk, owner=lambda given: given.model.encode())
    assert [read(slots, SYSTEM, model=model) for model in ("a", "b", "a", "b")] == [0, 0, 39, 39]
    settle(slots)
    fresh = slots_on(graph, disk=disk_in(tmp_path / "kv", graph), owner=lambda given: given.model.encode())
    assert [read(fresh, SYSTEM, model=model) for model in ("c", "b")] == [0, 32]


def settle(slots: Slots) -> None:
    """Let quiet work end."""
    while slots.idle_work() == 0.0:
        pass


def test_after_a_restart_a_known_chat_finds_its_beginning(graph: DecoderGraph, tmp_path: Path) -> None:
    slots = slots_on(graph, disk=disk_in(tmp_path / "kv", graph))
    chats = [prompt_of(90, seed=seed) for seed in range(3)]
    for chat in chats:
        read(slots, chat)
    settle(slots)
    again = slots_on(graph, disk=disk_in(tmp_path / "kv", graph))
    assert [read(again, chat + prompt_of(9, seed=5)) for chat in chats] == [64, 64, 64]
    assert read(again, chats[0] + prompt_of(50, seed=5)) == 99  # from memory: more than the disk knows


def saved(graph: DecoderGraph, folder: Path, *chats: tuple[int, ...]) -> KvDisk:
    """The disk of an agent that was started again after these chats."""
    slots = slots_on(graph, disk=disk_in(folder, graph))
    for chat in chats:
        read(slots, chat)
    settle(slots)
    return disk_in(folder, graph)


def test_no_more_is_read_from_disk_than_the_prompt_shares_and_none_of_it_twice(
    graph: DecoderGraph, tmp_path: Path
) -> None:
    chat = SYSTEM + prompt_of(90)
    again = slots_on(graph, disk=saved(graph, tmp_path / "kv", chat))
    slot, row = take(again, SYSTEM + prompt_of(60, seed=2))
    assert row.length == 32 and row.touched_bytes == 32 * graph.shape.kv_bytes_per_token
    assert len(again._contexts) == 0  # the row has it, and copies it when it is overwritten
    again.give_back(slot, SYSTEM[:32])
    assert read(again, chat) == 128


@pytest.mark.parametrize(("budget_tokens", "found"), [(256, 192), (100, 100), (32, 32), (31, 0), (0, 0)])
def test_what_is_read_from_disk_is_no_larger_than_the_prefix_cache(
    graph: DecoderGraph, tmp_path: Path, budget_tokens: int, found: int
) -> None:
    chat = prompt_of(200)
    disk = saved(graph, tmp_path / "kv", (*chat, *prompt_of(30, seed=2)))
    slots = slots_on(graph, prefix_bytes=budget_tokens * graph.shape.kv_bytes_per_token, disk=disk)
    assert read(slots, chat) == found
    assert sum(1 for _ in slots._savable()) == (budget_tokens >= 32)


@pytest.mark.parametrize("place", [0.3, 0.9])
def test_a_file_that_turns_out_to_be_damaged_is_left_for_the_next_best(
    graph: DecoderGraph, tmp_path: Path, place: float
) -> None:
    chat = prompt_of(200)
    disk = saved(graph, tmp_path / "kv", chat)
    slots = slots_on(graph, count=2, disk=disk)
    read(slots, chat[:70])
    (path,) = (tmp_path / "kv").iterdir()
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    assert read(slots, chat) == 70
    assert len(disk) == 0


def test_memory_that_is_given_up_is_not_held_by_its_saving(graph: DecoderGraph, tmp_path: Path) -> None:
    slots = slots_on(graph, disk=disk_in(tmp_path / "kv", graph))
    chat = prompt_of(90)
    read(slots, chat)
    read(slots, prompt_of(80, seed=2), local_only=True)
    (there,) = (weakref.ref(context.rows) for context in slots._contexts)
    assert slots.idle_work() == 0.0
    slots.give_up(0)
    assert len(list((tmp_path / "kv").iterdir())) == 1  # nothing was wanted: the saving goes on
    slots.give_up(1)
    assert there() is None and list((tmp_path / "kv").iterdir()) == []


def test_a_row_that_could_not_be_filled_stays_free_and_claims_nothing(graph: DecoderGraph, tmp_path: Path) -> None:
    saved(graph, tmp_path / "kv", prompt_of(90))
    slots = slots_on(graph, disk=disk_in(tmp_path / "kv", graph, NoMemory))
    read(slots, prompt_of(70, seed=2))
    with pytest.raises(MemoryError):
        slots.take(state(prompt_of(90)))
    slots.check_integrity()
    assert slots.has_free and read(slots, prompt_of(70, seed=2)) == 69


def test_what_must_not_leave_the_device_is_not_written_to_its_disk(graph: DecoderGraph, tmp_path: Path) -> None:
    slots = slots_on(graph, disk=disk_in(tmp_path / "kv", graph))
    read(slots, prompt_of(90, seed=1), local_only=True)
    read(slots, prompt_of(90, seed=2))
    settle(slots)
    read(slots, prompt_of(90, seed=3), local_only=True)
    settle(slots)
    assert len(list((tmp_path / "kv").iterdir())) == 1
    assert read(slots, prompt_of(90, seed=1)) == 89


def test_a_row_that_is_taken_while_it_is_saved_stops_the_saving(graph: DecoderGraph, tmp_path: Path) -> None:
    slots = slots_on(graph, disk=disk_in(tmp_path / "kv", graph))
    first = prompt_of(90)
    read(slots, first)
    candidates = list(slots._savable())
    assert candidates[0][1](0, 32) is not None
    slot, _ = take(slots, prompt_of(20, seed=2))
    assert candidates[0][1](0, 32) is None
    slots.give_back(slot, ())


@settings(max_examples=25, deadline=None)
@given(
    turns=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60), st.booleans()), min_size=1, max_size=8),
    count=st.integers(1, 3),
    tokens=st.integers(0, 400),
)
def test_whatever_comes_rows_are_those_of_reading_everything(
    graph: DecoderGraph, turns: list[tuple[int, int, bool]], count: int, tokens: int
) -> None:
    slots = slots_on(graph, count, tokens * graph.shape.kv_bytes_per_token)
    chats = [SYSTEM[: 10 * chat] for chat in range(4)]
    for chat, more, goes_on in turns:
        ids = (chats[chat] + prompt_of(more, seed=chat))[:CAPACITY]
        read(slots, ids)
        chats[chat] = ids if goes_on else chats[chat]


# Whole answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("numerics", [Numerics.ONE_ROW, Numerics.MANY_ROW])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(1, 150), more=st.integers(1, 60), said=st.integers(1, 20), seed=st.integers(0, 9))
def test_a_chats_second_turn_says_the_same_with_and_without_reuse(
    tiny_dir: Path, tiny_manifest: Manifest, graph: DecoderGraph, numerics: Numerics,
    first: int, more: int, said: int, seed: int,
) -> None:  # fmt: skip
    warm = OnnxEngine(tiny_manifest, graph, EngineOptions(slots=1, numerics=numerics))
    cold = OnnxEngine(tiny_manifest, graph, EngineOptions(slots=1, numerics=numerics, prefix_bytes=0))
    opening = prompt_of(first, seed=seed)
    begun = answer(warm, state(opening, max_tokens=said))
    second = state(opening + begun + prompt_of(more, seed=seed + 1), max_tokens=12)
    assert answer(warm, second) == answer(cold, second)
    assert warm.stats().reused_tokens >= (first if numerics is Numerics.ONE_ROW else first + said - 1)
    assert cold.stats().reused_tokens == 0


@pytest.mark.parametrize("numerics", list(Numerics))
def test_an_engine_that_was_started_again_finds_a_known_chat(
    tiny_manifest: Manifest, graph: DecoderGraph, tmp_path: Path, numerics: Numerics
) -> None:
    options = EngineOptions(numerics=numerics, saved=DiskOptions(tmp_path / "kv", MANY_BYTES))
    before = OnnxEngine(tiny_manifest, graph, options)
    opening = prompt_of(100)
    said = answer(before, state(opening, max_tokens=40))
    while before.idle_work() == 0.0:
        pass
    second = state(opening + said + prompt_of(10, seed=3), max_tokens=12)
    again = OnnxEngine(tiny_manifest, graph, options)
    after_restart = answer(again, second)
    assert again.stats().reused_tokens == (96 if numerics is Numerics.ONE_ROW else 128)
    if numerics.exact:
        assert after_restart == answer(OnnxEngine(tiny_manifest, graph, EngineOptions(numerics=numerics)), second)


def test_a_machine_that_failed_its_check_saves_what_mixed_numerics_save(
    tiny_manifest: Manifest, graph: DecoderGraph, tmp_path: Path
) -> None:
    """Nothing is promised there, so a quarter of the bytes will do."""

    def saved_bytes(name: str, numerics: Numerics, *, checked: bool) -> int:
        options = EngineOptions(numerics=numerics, saved=DiskOptions(tmp_path / name, MANY_BYTES))
        engine = OnnxEngine(tiny_manifest, graph, options, checked=checked)
        answer(engine, state(100, max_tokens=4))
        while engine.idle_work() == 0.0:
            pass
        return sum(path.stat().st_size for path in (tmp_path / name).iterdir())

    exact = saved_bytes("exact", Numerics.MANY_ROW, checked=True)
    failed = saved_bytes("failed", Numerics.MANY_ROW, checked=False)
    mixed = saved_bytes("mixed", Numerics.MIXED, checked=True)
    assert 0 < failed < 0.4 * exact and abs(failed - mixed) < 64


def test_a_prompt_that_was_cancelled_while_it_was_read_leaves_what_was_read(
    tiny_manifest: Manifest, graph: DecoderGraph
) -> None:
    engine = OnnxEngine(tiny_manifest, graph, EngineOptions(slots=1))
    engine.submit("gone", state(300))
    engine.step()
    engine.cancel("gone")
    assert run_all(engine) == {}
    answer(engine, state(300, max_tokens=2))
    assert engine.stats().reused_tokens == 64


def test_a_row_is_as_long_as_its_answers_need_and_grows_with_what_it_holds(graph: DecoderGraph) -> None:
    """Attention takes scratch memory by the length of the buffer, so a short answer has a short one."""
    slots = Slots(graph, count=1, capacity=500)
    ids = prompt_of(120)
    slot, row = take(slots, ids[:100], max_tokens=20)
    assert row.capacity == LEAST_ROW_TOKENS
    row.forward(ids[:100], many=True)
    slots.give_back(slot, ids[:100])
    slot, longer = take(slots, ids, max_tokens=200)
    assert (longer.length, longer.capacity) == (100, 500)
    assert longer.read(0, 100).tobytes() == row.read(0, 100).tobytes()
    slots.give_back(slot, ids[:100])
    assert take(slots, ids, max_tokens=4)[1] is longer
