"""Memory promised before any work: verdicts, what is said of a refusal, and an engine on a device that has little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.admission import (
    MIB,
    Admission,
    Memory,
    Promise,
    Verdict,
    available_bytes,
    default_reserve,
    total_bytes,
)
from edge_agent.runtime.context import ContextMode, ContextPolicy
from edge_agent.runtime.engine import EngineOptions
from edgewise.graphs import DecoderGraph
from edgewise.wire.errors import TierRefusedError
from edgewise.wire.manifest import Manifest
from tests.edge_agent.runtime.drive import answer, prompt_of, run_all, state

TOKEN = 2 * 2 * 2 * 16 * 4
"""Bytes of a token's rows in the tiny model."""
OPTIONS = EngineOptions(slots=2, prefix_bytes=100 * TOKEN, memory_reserve_bytes=0)


@pytest.fixture(scope="module")
def graph(tiny_dir: Path) -> DecoderGraph:
    return DecoderGraph.load(tiny_dir / "model.onnx")


class SmallDevice:
    """An engine where `tokens` tokens find room in all; what they take is counted as they are written."""

    def __init__(self, graph: DecoderGraph, manifest: Manifest, tokens: int, options: EngineOptions = OPTIONS) -> None:
        self.tokens = tokens
        self.engine = OnnxEngine(manifest, graph, options, available=self.available)

    @property
    def held_bytes(self) -> int:
        slots = self.engine._slots
        busy = (slot.row for slot in slots._slots if slot.busy)
        return slots.idle_bytes + sum(row.touched_bytes for row in busy if row is not None)

    def available(self) -> int:
        return self.tokens * TOKEN - self.held_bytes

    def check(self) -> None:
        self.engine.check_integrity()
        memory = self.engine._memory()
        assert self.held_bytes <= self.tokens * TOKEN, "more is held than there is"
        assert memory.promised_bytes <= memory.free_bytes + memory.idle_bytes, "more is promised than there is"


@pytest.mark.parametrize(
    ("need", "verdict"),
    [(0, Verdict.ADMIT), (70, Verdict.ADMIT), (71, Verdict.WAIT), (190, Verdict.WAIT), (191, Verdict.REFUSE)],
)
def test_the_verdict_counts_what_is_promised_idle_and_still_to_be_returned(need: int, verdict: Verdict) -> None:
    memory = Memory(free_bytes=100, idle_bytes=20, promises=(Promise(100, 50), Promise(10, 20)))
    assert memory.promised_bytes == 50
    assert memory.verdict(need) is verdict


@given(
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=4),
    st.integers(0, 1000),
)
def test_whoever_is_admitted_finds_the_promises_to_others_kept(
    free: int, idle: int, promises: list[tuple[int, int]], need: int
) -> None:
    before = Memory(free, idle, tuple(Promise(most, held) for most, held in promises))
    if before.verdict(need) is Verdict.ADMIT:
        after = Memory(free, idle, (*before.promises, Promise(need, 0)))
        assert after.room_bytes >= 0 and after.to_give_up_bytes <= idle


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 2000))
def test_nobody_waits_for_a_device_on_which_nothing_runs(free: int, idle: int, need: int) -> None:
    assert Memory(free, idle).verdict(need) is not Verdict.WAIT


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(60, 300),
    st.lists(st.tuples(st.integers(1, 150), st.integers(1, 40), st.integers(0, 6)), min_size=1, max_size=8),
)
def test_whatever_arrives_promises_are_kept_and_all_come_to_an_end(
    graph: DecoderGraph, tiny_manifest: Manifest, tokens: int, requests: list[tuple[int, int, int]]
) -> None:
    device = SmallDevice(graph, tiny_manifest, tokens)
    ended = set()
    for number, (prompt, most, steps) in enumerate(requests):
        given = state(prompt_of(prompt, seed=number % 3), max_tokens=most)
        if prompt + most > tokens:
            with pytest.raises(TierRefusedError):
                device.engine.submit(str(number), given)
            ended.add(str(number))
        else:
            device.engine.submit(str(number), given)
        for _ in range(steps):
            ended |= {each.attempt for each in device.engine.step() if each.finish}
            device.check()
    for _ in range(2000):
        if not device.engine.stats().running + device.engine.stats().queued:
            break
        outputs = device.engine.step()
        device.check()
        assert not any(each.error for each in outputs)
        ended |= {each.attempt for each in outputs if each.finish}
    assert ended == {str(number) for number in range(len(requests))}


def test_an_answer_waits_for_the_memory_of_another_and_is_the_same(
    graph: DecoderGraph, tiny_manifest: Manifest
) -> None:
    device = SmallDevice(graph, tiny_manifest, 150)
    alone = answer(OnnxEngine(tiny_manifest, graph), state(60, max_tokens=20))
    device.engine.submit("first", state(80, max_tokens=20))
    device.engine.submit("second", state(60, max_tokens=20))
    device.engine.step()
    assert (device.engine.stats().running, device.engine.stats().queued) == (1, 1)
    outputs = run_all(device.engine)
    assert tuple(token for output in outputs["second"] for token in output.ids) == alone


def test_a_refusal_says_what_is_needed_what_there_is_and_when_to_come_back(
    graph: DecoderGraph, tiny_manifest: Manifest
) -> None:
    options = replace(OPTIONS, memory_reserve_bytes=MIB)
    engine = OnnxEngine(tiny_manifest, graph, options, available=lambda: MIB + 100 * TOKEN)
    engine.submit("fits", state(80, max_tokens=20))
    with pytest.raises(TierRefusedError, match=r"need 0\.1 MiB.*has 0\.0 MiB") as raised:
        engine.submit("does not", state(80, max_tokens=100))
    assert "1.0 MiB" in raised.value.expected and "cloud" in raised.value.remedy and raised.value.retry_after_s
    assert engine.stats().queued == 1


def test_who_waits_is_told_when_the_memory_went_elsewhere(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    free = 200 * TOKEN
    engine = OnnxEngine(tiny_manifest, graph, replace(OPTIONS, slots=1), available=lambda: free)
    engine.submit("waits", state(100, max_tokens=20))
    free = 0
    (output,) = run_all(engine)["waits"]
    assert output.finish is None and isinstance(output.error, TierRefusedError)
    assert "memory" in output.error.message and "max_tokens" in output.error.remedy and output.error.retry_after_s


def test_what_is_kept_is_given_up_for_an_answer_that_needs_it(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    device = SmallDevice(graph, tiny_manifest, 150, replace(OPTIONS, slots=2))
    for seed in range(3):
        answer(device.engine, state(prompt_of(60, seed=seed), max_tokens=4))
    assert len(answer(device.engine, state(prompt_of(130, seed=9), max_tokens=20))) == 20
    device.check()


def test_a_chats_own_rows_are_not_given_up_for_its_next_turn(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    device = SmallDevice(graph, tiny_manifest, 150)
    first = prompt_of(80)
    answer(device.engine, state(first, max_tokens=10))
    answer(device.engine, state(first + prompt_of(40, seed=2), max_tokens=20))
    assert device.engine.reused_tokens == 80


def test_a_row_that_is_larger_than_needed_makes_way(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    device = SmallDevice(graph, tiny_manifest, 200, replace(OPTIONS, prefix_bytes=0))
    device.engine.submit("long", state(20, max_tokens=80))
    device.engine.step()
    device.engine.submit("ends", state(prompt_of(98, seed=2), max_tokens=2))
    for _ in range(4):
        device.engine.step()
    assert device.engine.stats().running == 1
    device.tokens -= 60  # other programs took them
    device.engine.submit("short", state(prompt_of(20, seed=3), max_tokens=10))
    device.engine.step()
    assert device.engine.stats().running == 2
    device.check()
    run_all(device.engine)
    device.check()


def test_a_policy_bounds_what_is_asked_for() -> None:
    full, windowed = Admission(token_bytes=10, most_tokens=512), Admission(token_bytes=10, most_tokens=64)
    assert [each.need_bytes(state(50, max_tokens=30)) for each in (full, windowed)] == [800, 640]


def test_an_engine_with_windows_admits_what_a_full_one_refuses(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    windowed = replace(
        OPTIONS, context=ContextMode.WINDOWED, context_policy=ContextPolicy(full=64, keys=16, every=16, window_to=128)
    )
    given = state(300, max_tokens=10)
    assert len(answer(SmallDevice(graph, tiny_manifest, 70, windowed).engine, given)) == 10
    with pytest.raises(TierRefusedError):
        SmallDevice(graph, tiny_manifest, 70).engine.submit("x", given)


@pytest.mark.parametrize(("gib", "mib"), [(0.5, 64), (4, 204), (64, 512)])
def test_the_reserve_is_a_share_of_the_machine(gib: float, mib: int) -> None:
    assert default_reserve(int(gib * 1024 * MIB)) // MIB == mib


def test_this_machine_has_memory() -> None:
    assert 0 < available_bytes() <= total_bytes()
