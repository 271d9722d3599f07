"""TorchEngine: an answer is a function of its state alone, whatever runs beside it and wherever it began."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.numerics import EngineOptions
from cloud_worker.engine.work import BLOCK_TOKENS, Segment
from cloud_worker.forge.qwen2 import Qwen2, Qwen2Config
from edgewise.generation.state import GenerationState, Sampling
from edgewise.node.engine import StepOutput
from edgewise.wire.errors import (
    BadRequestError,
    ConflictError,
    MessageTooLongError,
    TierRefusedError,
    UnsupportedParameterError,
)
from tests.factories.decoders import tiny_decoder
from tests.factories.models import tiny_manifest, tiny_model
from tests.factories.states import GREEDY, make_state

WARM = Sampling(temperature=0.9, top_p=0.95, top_k=60, min_p=0.01, presence_penalty=0.3)
OPTIONS = EngineOptions(slots=4, step_tokens=64, speculation="off")
BLOCKS = 64


@cache
def shared_model() -> Qwen2:
    torch.set_num_threads(1)
    return tiny_model()


def make_engine(
    options: EngineOptions = OPTIONS, *, context_tokens: int = 256, eos: tuple[int, ...] = ()
) -> TorchEngine:
    return TorchEngine(tiny_decoder(shared_model(), BLOCKS), tiny_manifest(context_tokens, eos), options)


def prompt(length: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(random.Random(seed).choices(range(5, 320), k=length))


def state(sampling: Sampling = GREEDY, *, length: int = 19, **fields: object) -> GenerationState:
    return make_state(**({"prompt_ids": prompt(length), "max_tokens": 24, "seed": 11, "sampling": sampling} | fields))


def drain(engine: TorchEngine, outputs: dict[str, list[StepOutput]] | None = None) -> dict[str, list[StepOutput]]:
    """Step until nothing is left; outputs by attempt."""
    outputs = outputs if outputs is not None else {}
    while engine.stats().running + engine.stats().queued:
        for output in engine.step():
            outputs.setdefault(output.attempt, []).append(output)
    return outputs


def ids_of(outputs: list[StepOutput]) -> tuple[int, ...]:
    return tuple(token for output in outputs for token in output.ids)


def answer(given: GenerationState, options: EngineOptions = OPTIONS) -> tuple[int, ...]:
    engine = make_engine(options)
    engine.submit("a", given)
    return ids_of(drain(engine)["a"])


def test_greedy_equals_the_model_without_a_cache() -> None:
    given, said = state(), answer(state())
    assert len(said) == 24
    everything = torch.tensor([given.prompt_ids + said])
    with torch.inference_mode():
        logits = shared_model()(everything, torch.arange(everything.shape[1])[None])[0]
    expected = logits[len(given.prompt_ids) - 1 : -1].argmax(-1)
    assert said == tuple(expected.tolist())


def test_the_random_model_says_different_things() -> None:
    assert len(set(answer(state()))) > 6
    assert len({answer(state(WARM, seed=seed)) for seed in range(4)}) == 4


@pytest.mark.parametrize("sampling", [GREEDY, WARM, Sampling()], ids=["greedy", "filtered", "plain"])
@pytest.mark.parametrize("companions", [False, True])
def test_cut_anywhere_the_answer_goes_on_the_same(sampling: Sampling, companions: bool) -> None:
    whole = answer(state(sampling))
    for cut in range(len(whole)):
        engine = make_engine()
        if companions:
            for number in range(cut % 4):
                engine.submit(f"c{number}", state(Sampling(), length=3 + 7 * number, seed=number, max_tokens=9 + cut))
            for _ in range(cut % 5):
                engine.step()
        engine.submit("a", state(sampling, output_ids=whole[:cut]))
        assert whole[:cut] + ids_of(drain(engine)["a"]) == whole


def test_companions_change_nothing() -> None:
    given = {f"a{n}": state(WARM if n % 2 else GREEDY, length=2 + 5 * n, seed=n) for n in range(10)}
    alone = {name: answer(each) for name, each in given.items()}
    engine, outputs = make_engine(), dict[str, list[StepOutput]]()
    for number, (name, each) in enumerate(given.items()):
        engine.submit(name, each)
        for _ in range(number % 3):
            for output in engine.step():
                outputs.setdefault(output.attempt, []).append(output)
    assert {name: ids_of(each) for name, each in drain(engine, outputs).items()} == alone


class Spy(Decoder):
    """Remembers the logits behind the rows of one answer."""

    def __init__(self, whole: Decoder) -> None:
        self.__dict__.update(whole.__dict__)
        self.seen: list[np.ndarray] = []
        self._places: list[int] = []

    def forward(self, segments: Sequence[Segment]) -> torch.Tensor:
        wanted = [segment.request for segment in segments for _ in range(segment.wanted)]
        self._places = [place for place, request in enumerate(wanted) if request == "a"]
        return super().forward(segments)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        found = super().logits(hidden)
        self.seen += [found[place].numpy().copy() for place in self._places]
        return found


@pytest.mark.parametrize("rows", range(1, 17))
def test_logits_have_the_same_bits_in_every_batch(rows: int) -> None:
    """The claim below all others: a row's logits do not depend on how many rows there are and where it stands."""
    alone, together = (Spy(tiny_decoder(shared_model(), BLOCKS)) for _ in range(2))
    for decoder, companions in ((alone, 0), (together, rows - 1)):
        engine = TorchEngine(decoder, tiny_manifest(eos_ids=()), EngineOptions(slots=16, speculation="off"))
        for number in range(companions):
            engine.submit(f"c{number}", state(length=3 + number, seed=number, max_tokens=40))
        engine.submit("a", state(seed=77, max_tokens=6))
        drain(engine)
    assert len(alone.seen) == len(together.seen) == 6
    for one, other in zip(alone.seen, together.seen, strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 100])
def test_prompts_of_every_length_on_the_grid(length: int) -> None:
    given = state(length=length)
    said = answer(given)
    assert said[:10] + answer(state(length=length, output_ids=said[:10])) == said


def test_an_end_token_ends_with_stop_and_is_not_said() -> None:
    whole = answer(state())
    engine = make_engine(eos=(whole[5],))
    engine.submit("a", state())
    outputs = drain(engine)["a"]
    first = whole.index(whole[5])
    assert (ids_of(outputs), outputs[-1].finish) == (whole[:first], "stop")


def test_the_states_own_end_tokens_come_first() -> None:
    whole = answer(state())
    engine = make_engine(eos=(whole[0],))
    engine.submit("a", state(eos_ids=(whole[-1],)))
    assert ids_of(drain(engine)["a"])[:1] == whole[:1]


def test_the_budget_counts_the_whole_answer() -> None:
    whole = answer(state())
    engine = make_engine()
    engine.submit("a", state(output_ids=whole[:20]))
    engine.submit("b", state(output_ids=whole))
    outputs = drain(engine)
    assert (ids_of(outputs["a"]), outputs["a"][-1].finish) == (whole[20:], "length")
    assert (ids_of(outputs["b"]), outputs["b"][-1].finish) == ((), "length")


def test_an_answer_that_has_filled_the_context_ends_with_length() -> None:
    engine = make_engine(context_tokens=43)
    engine.submit("a", state(output_ids=answer(state())))
    assert [(output.attempt, output.finish) for output in engine.step()] == [("a", "length")]


def test_a_finished_answer_that_is_cancelled_says_nothing_to_its_successor() -> None:
    engine, whole = make_engine(), answer(state())
    engine.submit("a", state(output_ids=whole))
    with pytest.raises(ConflictError):
        engine.submit("a", state())
    engine.cancel("a")
    engine.submit("a", state())
    assert ids_of(drain(engine)["a"]) == whole


def test_the_context_ends_an_answer_with_length() -> None:
    engine = make_engine(context_tokens=25)
    engine.submit("a", state())
    outputs = drain(engine)["a"]
    assert (len(ids_of(outputs)), outputs[-1].finish) == (6, "length")


def test_cancel_frees_slot_and_blocks_and_is_idempotent() -> None:
    engine = make_engine(replace(OPTIONS, slots=1))
    engine.submit("a", state())
    engine.submit("b", state())
    engine.step()
    assert engine.stats().kv_bytes % (2 * 2 * 2 * BLOCK_TOKENS * 8 * 4) == 0 < engine.stats().kv_bytes
    for _ in range(2):
        engine.cancel("a")
    assert (engine.stats().running, engine.stats().queued, engine.stats().kv_bytes) == (0, 1, 0)
    assert list(drain(engine)) == ["b"]
    assert engine.stats().kv_bytes == 0
    engine.check_integrity()


@pytest.mark.parametrize("length", [1, BLOCK_TOKENS, BLOCK_TOKENS + 1])
def test_what_an_answer_held_is_the_formula_of_its_whole_blocks(length: int) -> None:
    """2 · L · H_kv · S · D · bytes, with S rounded up to whole blocks."""
    engine = make_engine()
    engine.submit("a", state(length=length, max_tokens=2))
    last = drain(engine)["a"][-1]
    tokens = -(-(length + 2) // BLOCK_TOKENS) * BLOCK_TOKENS
    assert last.finish == "length" and last.kv_bytes == 2 * 2 * 2 * tokens * 8 * 4


def test_equals_wait_in_order_when_slots_are_few() -> None:
    engine = make_engine(replace(OPTIONS, slots=2))
    for number, name in enumerate("abcd"):
        engine.submit(name, state(max_tokens=3, prompt_ids=prompt(19, number)))
    engine.step()
    assert (engine.stats().running, engine.stats().queued, engine.stats().slots) == (2, 2, 2)
    assert list(drain(engine)) == ["a", "b", "c", "d"]
    assert (engine.stats().prompt_tokens, engine.stats().output_tokens) == (4 * 19, 4 * 3)


def test_a_higher_rank_is_answered_first_and_no_token_depends_on_it() -> None:
    engine = make_engine(replace(OPTIONS, slots=1))
    for name, rank in (("free", -1), ("plain", 0), ("premium", 1), ("urgent", 11)):
        engine.submit(name, state(max_tokens=3, salt=name.encode(), tenant=b"t", rank=rank))
    outputs = drain(engine)
    assert list(outputs) == ["urgent", "premium", "plain", "free"]
    assert {ids_of(each) for each in outputs.values()} == {answer(state(max_tokens=3))}


@pytest.mark.parametrize(("tenants", "first"), [((b"t", b"t", b"u"), "c"), ((b"", b"", b""), "b")])
def test_the_keys_of_a_tenant_are_served_as_one(tenants: tuple[bytes, ...], first: str) -> None:
    """Fairness is among tenants; where none is told, among salts."""
    engine = make_engine(replace(OPTIONS, slots=1))
    mine, again, other = tenants
    engine.submit("a", state(length=200, max_tokens=2, salt=b"one", tenant=mine))
    drain(engine)
    engine.submit("b", state(max_tokens=2, salt=b"two", tenant=again))
    engine.submit("c", state(max_tokens=2, salt=b"three", tenant=other))
    assert next(iter(drain(engine))) == first


def test_speed_is_measured_with_the_given_clock() -> None:
    ticks = iter(range(1000))
    decoder = tiny_decoder(shared_model(), BLOCKS)
    engine = TorchEngine(decoder, tiny_manifest(eos_ids=()), OPTIONS, clock=lambda: next(ticks) / 2)
    engine.submit("a", state(length=3))
    drain(engine)
    assert engine.stats().tokens_per_s == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (state(length=300), MessageTooLongError),
        (state(output_ids=prompt(240)), MessageTooLongError),
        (state(grammar="root ::= 1"), UnsupportedParameterError),
        (state(prompt_ids=()), BadRequestError),
        (state(prompt_ids=(320,)), BadRequestError),
        (state(output_ids=(-1,)), BadRequestError),
        (state(Sampling(temperature=-1.0)), BadRequestError),
    ],
)
def test_what_cannot_be_generated_is_refused(bad: GenerationState, error: type[Exception]) -> None:
    with pytest.raises(error):
        make_engine().submit("a", bad)


def test_a_full_queue_and_a_running_attempt_are_refused() -> None:
    engine = make_engine(replace(OPTIONS, slots=1, queue_tokens=80))
    engine.submit("a", state())
    with pytest.raises(ConflictError):
        engine.submit("a", state())
    engine.step()
    engine.submit("b", state())
    with pytest.raises(TierRefusedError):
        engine.submit("c", state())


def test_bad_logits_end_one_sequence_with_an_error() -> None:
    config = Qwen2Config(320, 32, 48, 1, 4, 2)
    model = tiny_model(config)
    with torch.no_grad():
        model.model.embed_tokens.weight[9] = float("nan")
    engine = TorchEngine(tiny_decoder(model, BLOCKS), tiny_manifest(eos_ids=()), OPTIONS)
    for name, ids in (("a", (9, 8)), ("b", (10, 11))):
        engine.submit(name, state(prompt_ids=ids, max_tokens=5))
    outputs = drain(engine)
    assert "cannot be sampled" in str(outputs["a"][-1].error)
    assert engine.stats().kv_bytes == 0
    engine.check_integrity()
