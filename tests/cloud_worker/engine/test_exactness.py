"""Whatever happens to an answer on its way, its tokens are those that it has alone: crowds in random circumstances."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cloud_worker.engine import exactness
from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.exactness import keeps_bits, kernels_digest
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.numerics import EngineOptions
from cloud_worker.engine.speculation.drafting import Source
from cloud_worker.engine.speculation.speculator import Speculator
from cloud_worker.forge.qwen2 import Qwen2Config
from edgewise.generation.state import RANK_MAX, GenerationState, Sampling
from edgewise.speculation import Drafter, NgramDrafter
from tests.cloud_worker.engine.test_core import answer, drain, ids_of, prompt, shared_model, state
from tests.factories.decoders import tiny_decoder
from tests.factories.models import tiny_manifest, tiny_model
from tests.factories.states import GREEDY

SAMPLINGS = (
    GREEDY,
    Sampling(),
    Sampling(temperature=0.9, top_p=0.95, top_k=60, min_p=0.01, presence_penalty=0.3),
    Sampling(temperature=0.3, frequency_penalty=0.4),
    Sampling(temperature=0.5, repetition_penalty=1.3, logit_bias={7: 2.0}),
)
ANSWERS = 8


def cpu_flags() -> str:
    """What the kernel says of the processor; nothing where it has no such file."""
    told = Path("/proc/cpuinfo")
    return told.read_text() if told.exists() else ""


class Prophet:
    """Drafts what will be said, with mistakes: more tokens than any real drafter gets accepted, and wrong ones too."""

    def __init__(self, answers: dict[str, tuple[int, ...]], chance: random.Random, right: float = 0.8) -> None:
        self._answers, self._chance, self._right = answers, chance, right
        self._prompts: dict[str, int] = {}

    def begin(self, request: str, state: GenerationState) -> None:
        self._prompts[request] = len(state.prompt_ids)

    def draft(self, request: str, ids: Sequence[int], most: int) -> tuple[int, ...]:
        said = len(ids) - self._prompts[request]
        right = self._answers[request][said : said + most]
        return tuple(token if self._chance.random() < self._right else self._chance.randrange(320) for token in right)

    def accepted(self, request: str, drafted: int, held: int) -> None:
        pass

    def forget(self, request: str) -> None:
        self._prompts.pop(request, None)


def crowd(chance: random.Random) -> dict[str, GenerationState]:
    """Answers of all kinds; some prompts share a beginning, some are equal."""
    shared = prompt(chance.randrange(1, 90), chance.randrange(3))
    found = {}
    for number in range(ANSWERS):
        own = prompt(chance.randrange(1, 60), chance.randrange(1000))
        ids = {0: own, 1: shared, 2: shared + own}[chance.randrange(3)]
        found[f"a{number}"] = state(
            chance.choice(SAMPLINGS),
            prompt_ids=ids,
            seed=chance.randrange(1000),
            max_tokens=chance.randrange(1, 30),
            salt=chance.choice((b"", b"one", b"two")),
            tenant=chance.choice((b"", b"many keys")),
            rank=chance.randint(-RANK_MAX, RANK_MAX),
        )
    return found


def live(given: dict[str, GenerationState], expected: dict[str, tuple[int, ...]], chance: random.Random) -> None:
    """Let the crowd be answered by engines that are short of everything and die, and compare every token."""
    said = {name: list[int]() for name in given}
    over = set[str]()
    while len(over) < len(given):
        engine = _engine(expected, chance)
        waiting = [name for name in given if name not in over]
        chance.shuffle(waiting)
        lives = chance.choice((5, 20, 1000))
        running = set[str]()
        while lives and (waiting or running):
            if waiting and chance.random() < 0.5:
                name = waiting.pop()
                engine.submit(name, replaced(given[name], tuple(said[name])))
                running.add(name)
            if running and chance.random() < 0.05:
                name = chance.choice(sorted(running))
                engine.cancel(name)
                running.remove(name)
                waiting.append(name)
            for output in engine.step():
                assert output.error is None
                said[output.attempt] += output.ids
                if output.finish:
                    over.add(output.attempt)
                    running.discard(output.attempt)
            engine.check_integrity()
            lives -= 1
    assert {name: tuple(ids) for name, ids in said.items()} == expected


def replaced(given: GenerationState, said: tuple[int, ...]) -> GenerationState:
    return given.advanced(said, "") if said else given


def _engine(expected: dict[str, tuple[int, ...]], chance: random.Random) -> TorchEngine:
    slots = chance.randrange(1, 10)
    options = EngineOptions(slots=slots, step_tokens=slots + 32 * chance.randrange(1, 5))
    drafters: dict[str, Drafter] = {"prophet": Prophet(expected, chance), "ngram": NgramDrafter()}
    chosen = chance.sample(sorted(drafters), chance.randrange(3))
    speculator = Speculator([Source(name, drafters[name]) for name in chosen]) if chosen else None
    decoder = tiny_decoder(shared_model(), chance.choice((8, 12, 64)))
    return TorchEngine(decoder, tiny_manifest(eos_ids=()), options, speculator=speculator)


def run(seed: int) -> None:
    chance = random.Random(seed)
    given = crowd(chance)
    live(given, {name: answer(each) for name, each in given.items()}, chance)


@pytest.mark.parametrize("seed", range(25))
def test_crowds_say_what_each_says_alone(seed: int) -> None:
    """200 answers."""
    run(seed)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_crowds_say_what_each_says_alone() -> None:
    """10,000 answers."""
    for seed in range(1000, 2250):
        run(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_this_machine_keeps_bits(dtype: torch.dtype) -> None:
    assert keeps_bits(tiny_decoder(shared_model(), 8, dtype))


class ForgettingCuts(Decoder):
    """A machine on which rows behind many keys see a little of their companions."""

    def __init__(self, whole: Decoder, keys: int) -> None:
        self.__dict__.update(whole.__dict__)
        self._keys = keys

    def forward(self, segments):  # type: ignore[no-untyped-def]
        hidden, far = super().forward(segments), max(segment.stop for segment in segments) > self._keys
        return hidden * (1 + 1e-6 * len(hidden)) if far else hidden


@pytest.mark.parametrize(("blocks", "found"), [(8, False), (16, False), (32, True), (64, True)])
def test_a_machine_that_keeps_bits_of_short_texts_only_is_found_out(blocks: int, found: bool) -> None:
    """As far as its cache reaches: longer texts cannot come."""
    config = Qwen2Config(320, 32, 48, 1, 4, 2, max_position_embeddings=2048)
    assert keeps_bits(ForgettingCuts(tiny_decoder(tiny_model(config), blocks), 512)) != found


class Leaking(Decoder):
    """A machine on which rows see a little of their companions."""

    def __init__(self, whole: Decoder) -> None:
        self.__dict__.update(whole.__dict__)

    def forward(self, segments):  # type: ignore[no-untyped-def]
        hidden = super().forward(segments)
        return hidden * (1 + 1e-6 * len(hidden))


def test_a_machine_that_does_not_is_found_out_and_the_id_says_so() -> None:
    assert not keeps_bits(Leaking(tiny_decoder(shared_model(), 8)))
    options = replace(EngineOptions(), slots=1)
    exact, not_exact = (
        TorchEngine(tiny_decoder(shared_model(), 8), tiny_manifest(), options, exact=exact) for exact in (True, False)
    )
    assert not_exact.numerics_id == f"{exact.numerics_id}/inexact"


@pytest.mark.skipif("avx512_bf16" not in cpu_flags(), reason="this processor has one way to multiply bfloat16")
def test_other_kernels_have_another_name() -> None:
    """Two processors that torch calls by one name: here one of them is told to be the older one."""
    code = (
        "import torch\n"
        "from cloud_worker.engine.exactness import kernels_digest\n"
        "print(torch.backends.cpu.get_cpu_capability(), kernels_digest(torch.bfloat16))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **more}, capture_output=True, text=True, check=True
        ).stdout.split()
        for more in ({}, {}, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"})
    ]
    assert told[0] == told[1]
    assert told[0][0] == told[2][0] and told[0][1] != told[2][1]


def test_what_was_drafted_and_what_a_step_took_are_counted_by_the_rows_that_were_run() -> None:
    """The scheduler uses segments again as soon as it is told of a step; nothing may be read of them after that."""
    whole = answer(state())
    speculator = Speculator([Source("prophet", Prophet({"a": whole}, random.Random(0), right=1.0))])
    engine = TorchEngine(
        tiny_decoder(shared_model(), 16), tiny_manifest(eos_ids=()), EngineOptions(slots=2), speculator=speculator
    )
    engine.submit("a", state())
    rows = [1]
    while engine.stats().running + engine.stats().queued:
        rows += [sum(len(output.ids) for output in engine.step())]  # all drafts hold
    stats = engine.stats()
    assert stats.drafted == stats.accepted == sum(count - 1 for count in rows) > 0
    assert all(speculator.costs.samples(count) for count in rows[2:])


class Failing(NgramDrafter):
    """A drafter that breaks where it is told to."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def begin(self, request: str, state: GenerationState) -> None:
        if self._where == "begin":
            raise ZeroDivisionError
        super().begin(request, state)

    def forget(self, request: str) -> None:
        if self._where == "forget":
            raise ZeroDivisionError
        super().forget(request)

    def accepted(self, request: str, drafted: int, held: int) -> None:
        if self._where == "accepted":
            raise ZeroDivisionError

    def draft(self, request: str, ids: Sequence[int], most: int) -> tuple[int, ...]:
        if self._where == "draft":
            raise ZeroDivisionError
        return (7,)[:most] if self._where == "accepted" else (320, -1, 10**9)[:most]


@pytest.mark.parametrize("where", ["begin", "draft", "accepted", "forget", "nowhere"])
def test_a_bad_drafter_costs_no_answer(where: str) -> None:
    speculator = Speculator([Source("bad", Failing(where))])
    decoder = tiny_decoder(shared_model(), 16)
    engine = TorchEngine(decoder, tiny_manifest(eos_ids=()), EngineOptions(slots=2), speculator=speculator)
    for name in "ab":
        engine.submit(name, state())
    outputs = drain(engine)
    assert [ids_of(outputs[name]) for name in "ab"] == [answer(state())] * 2
    assert engine.stats().running == 0


def test_what_was_drafted_stays_counted_when_drafting_ends() -> None:
    whole, prophet = answer(state()), Failing("forget")
    speculator = Speculator(
        [Source("prophet", Prophet({"a": whole}, random.Random(0), right=1.0)), Source("b", prophet)]
    )
    engine = TorchEngine(
        tiny_decoder(shared_model(), 16), tiny_manifest(eos_ids=()), EngineOptions(slots=2), speculator=speculator
    )
    engine.submit("a", state())
    assert ids_of(drain(engine)["a"]) == whole
    assert engine.stats().drafted > 0


def test_gates_that_see_their_company_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exactness, "gated", lambda x: x.mul(1 + 1e-6 * len(x)))
    assert not keeps_bits(tiny_decoder(shared_model(), 8))


def test_what_cannot_be_seen_in_numbers_is_in_the_name() -> None:
    told = {
        kernels_digest(torch.float32),
        kernels_digest(torch.float32, rows=(64, 256)),
        kernels_digest(torch.float32, named="another GPU"),
        kernels_digest(torch.float32, named="splits of 512 keys"),
    }
    assert len(told) == 4
