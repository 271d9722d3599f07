"""Answers with and without drafts on a real graph: the same ids, ends and probabilities, in fewer calls."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edge_agent.runtime.numerics import Numerics
from edgewise.generation.probabilities import token_probability
from edgewise.generation.state import GenerationState, Sampling
from edgewise.graphs import DecoderGraph
from edgewise.node.engine import StepOutput
from edgewise.wire.manifest import Manifest
from tests.edge_agent.runtime.drive import ids_of, prompt_of, run_all, state
from tests.edge_agent.tiny_model import VOCAB

MANY = EngineOptions(slots=2, numerics=Numerics.MANY_ROW)
PLAIN = EngineOptions(slots=2, numerics=Numerics.MANY_ROW, speculation=False)
MIXED = EngineOptions(numerics=Numerics.MIXED)
FEW = dict.fromkeys((5, 6, 7, 8), 40.0)
"""A bias for so few tokens that the tiny model's text repeats itself: some drafts hold, and some do not."""
COPYING = state(prompt_of(9) * 6, max_tokens=60, sampling=Sampling(temperature=0.0, logit_bias=FEW))


@pytest.fixture(scope="module")
def graph(tiny_dir: Path) -> DecoderGraph:
    return DecoderGraph.load(tiny_dir / "model.onnx")


def some_clock(seed: int) -> Callable[[], float]:
    """A clock by which calls take anything between nothing and a second: costs, and drafts, are all over the place."""
    numbers, ticks = random.Random(seed), itertools.count()
    return lambda: next(ticks) + numbers.random()


def outputs_of(engine: OnnxEngine, given: GenerationState) -> list[StepOutput]:
    engine.submit("only", given)
    return run_all(engine)["only"]


@settings(max_examples=60, deadline=None)
@given(
    prompt=st.lists(st.integers(3, 7), min_size=1, max_size=40),
    repeats=st.integers(1, 4),
    sampling=st.builds(Sampling, temperature=st.sampled_from([0.0, 0.5, 1.0]), logit_bias=st.sampled_from([{}, FEW])),
    seed=st.integers(0, 2**32),
    max_tokens=st.integers(1, 50),
    eos=st.sampled_from([*FEW, 9, VOCAB - 1]),
)
def test_speculation_changes_no_answer(
    graph: DecoderGraph,
    tiny_manifest: Manifest,
    prompt: list[int],
    repeats: int,
    sampling: Sampling,
    seed: int,
    max_tokens: int,
    eos: int,
) -> None:
    asked = state(
        tuple(prompt) * repeats,
        max_tokens=max_tokens,
        seed=seed,
        sampling=sampling,
        eos_ids=(eos,),
        probabilities=True,
    )
    plain = outputs_of(OnnxEngine(tiny_manifest, graph, PLAIN), asked)
    drafted = outputs_of(OnnxEngine(tiny_manifest, graph, MANY, some_clock(seed)), asked)
    assert ids_of(drafted) == ids_of(plain)
    assert drafted[-1].finish == plain[-1].finish
    assert [one for output in drafted for one in output.probabilities] == [
        one for output in plain for one in output.probabilities
    ]


@pytest.mark.parametrize("options", [MANY, MIXED], ids=["many-row", "mixed"])
def test_a_text_that_repeats_takes_fewer_calls(
    graph: DecoderGraph, tiny_manifest: Manifest, options: EngineOptions
) -> None:
    engine = OnnxEngine(tiny_manifest, graph, options, lambda: 0.0)
    outputs = outputs_of(engine, COPYING)
    stats = engine.stats()
    assert len(ids_of(outputs)) == 60 and len(outputs) < 40
    assert 60 - len(outputs) <= stats.accepted <= stats.drafted


def test_two_drafting_answers_do_not_disturb_each_other(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    asked = {"a": COPYING, "b": state(prompt_of(5, seed=3) * 8, max_tokens=50, temperature=0.3)}
    alone = {name: ids_of(outputs_of(OnnxEngine(tiny_manifest, graph, PLAIN), one)) for name, one in asked.items()}
    engine = OnnxEngine(tiny_manifest, graph, MANY)
    for name, one in asked.items():
        engine.submit(name, one)
    assert {name: ids_of(outputs) for name, outputs in run_all(engine).items()} == alone


def test_an_end_among_accepted_drafts_ends_the_answer_there(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    whole = ids_of(outputs_of(OnnxEngine(tiny_manifest, graph, PLAIN), COPYING))
    for end in sorted(set(whole)):
        engine = OnnxEngine(tiny_manifest, graph, MANY, lambda: 0.0)
        outputs = outputs_of(engine, msgspec.structs.replace(COPYING, eos_ids=(end,)))
        assert ids_of(outputs) == whole[: whole.index(end)] and outputs[-1].finish == "stop"
        assert all(output.finish is None for output in outputs[:-1])


@pytest.mark.parametrize("max_tokens", range(1, 12))
def test_the_budget_is_never_passed(graph: DecoderGraph, tiny_manifest: Manifest, max_tokens: int) -> None:
    asked = msgspec.structs.replace(COPYING, max_tokens=max_tokens)
    engine = OnnxEngine(tiny_manifest, graph, MANY, lambda: 0.0)
    outputs = outputs_of(engine, asked)
    assert len(ids_of(outputs)) == max_tokens and outputs[-1].finish == "length"
    assert engine.stats().drafted < max_tokens


@pytest.mark.parametrize("context_tokens", range(60, 72))
def test_drafts_never_pass_the_end_of_the_context(
    graph: DecoderGraph, tiny_manifest: Manifest, context_tokens: int
) -> None:
    options = EngineOptions(numerics=Numerics.MANY_ROW, context_tokens=context_tokens)
    outputs = outputs_of(OnnxEngine(tiny_manifest, graph, options, lambda: 0.0), COPYING)
    assert len(ids_of(outputs)) == context_tokens - len(COPYING.prompt_ids)
    assert outputs[-1].finish == "length" and outputs[-1].error is None


def test_a_cancel_takes_effect_at_the_next_step(graph: DecoderGraph, tiny_manifest: Manifest) -> None:
    engine = OnnxEngine(tiny_manifest, graph, MANY)
    engine.submit("only", COPYING)
    said = sum(len(output.ids) for _ in range(8) for output in engine.step())
    engine.cancel("only")
    assert 0 < said < 60 and engine.step() == [] and engine.stats().running == 0
    engine.check_integrity()


@pytest.mark.parametrize("off", [EngineOptions(), PLAIN], ids=["one-row", "switched off"])
def test_nothing_is_drafted_where_it_may_not_be(
    graph: DecoderGraph, tiny_manifest: Manifest, off: EngineOptions
) -> None:
    engine = OnnxEngine(tiny_manifest, graph, off)
    assert all(len(output.ids) == 1 for output in outputs_of(engine, COPYING))
    assert engine.stats().drafted == 0


def test_the_numerics_id_tells_the_modes_apart_and_which_promise_nothing(
    graph: DecoderGraph, tiny_manifest: Manifest
) -> None:
    names = {mode: OnnxEngine(tiny_manifest, graph, EngineOptions(numerics=mode)).numerics_id for mode in Numerics}
    assert len(set(names.values())) == 3
    assert [mode for mode, name in names.items() if name.endswith("/inexact")] == [Numerics.MIXED]
    unchecked = OnnxEngine(tiny_manifest, graph, EngineOptions(), checked=False).numerics_id
    assert unchecked == f"{names[Numerics.ONE_ROW]}/inexact"
    plain = OnnxEngine(tiny_manifest, graph, PLAIN).numerics_id
    assert plain == names[Numerics.MANY_ROW], "drafts change no bit"


@pytest.mark.parametrize("options", [EngineOptions(), MANY], ids=["one-row", "many-row"])
def test_probabilities_come_when_asked_for_one_for_each_token_and_the_end(
    graph: DecoderGraph, tiny_manifest: Manifest, options: EngineOptions
) -> None:
    engine = OnnxEngine(tiny_manifest, graph, options)
    whole = ids_of(outputs_of(engine, COPYING))
    asked = msgspec.structs.replace(COPYING, probabilities=True, eos_ids=(whole[5],))
    outputs = outputs_of(engine, asked)
    seen = [one for output in outputs for one in output.probabilities]
    assert len(seen) == len(ids_of(outputs)) + 1
    assert all(one.logprob < 0 < one.entropy for one in seen)
    row = graph.new_row(64)
    first = row.forward(COPYING.prompt_ids, many=True)[0]
    assert seen[0] == token_probability(first, whole[0])
    assert not any(output.probabilities for output in outputs_of(engine, COPYING))


def test_a_probability_is_the_softmax_and_its_entropy() -> None:
    logits = np.log(np.array([0.5, 0.25, 0.25], np.float32)) + 7
    found = token_probability(logits, 1)
    assert (found.logprob, found.entropy) == pytest.approx((np.log(0.25), 1.5 * np.log(2)), abs=1e-6)
    sure = token_probability(np.array([0.0, 800.0], np.float32), 1)
    assert (sure.logprob, sure.entropy) == (0.0, 0.0)
