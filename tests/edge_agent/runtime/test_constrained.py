"""Grammars on a device: an answer follows its own, with drafts and without, and goes on the same from every cut."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edge_agent.runtime.numerics import Numerics
from edgewise.generation.grammar import InvalidGrammarError, regex_grammar
from edgewise.generation.grammar_masks import Grammars
from edgewise.generation.state import GenerationState, Sampling
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.graphs import DecoderGraph
from edgewise.node.engine import StepOutput
from edgewise.wire.manifest import Manifest
from tests.edge_agent.runtime.drive import ids_of, prompt_of, run_all, state

PATTERN = "([a-c]{2} ){1,9}[0-9]{3}好"
MANY = EngineOptions(slots=4, numerics=Numerics.MANY_ROW)
PLAIN = EngineOptions(slots=4, numerics=Numerics.MANY_ROW, speculation=False)


@pytest.fixture(scope="module")
def graph(tiny_dir: Path) -> DecoderGraph:
    return DecoderGraph.load(tiny_dir / "model.onnx")


@cache
def grammars(directory: Path) -> Grammars:
    return Grammars(ChatTokenizer.load(directory))


def asked(seed: int, **fields: Any) -> GenerationState:
    sampling = Sampling(temperature=1.0 + seed % 2)
    given: dict[str, Any] = {"max_tokens": 60, "seed": seed, "sampling": sampling, "grammar": regex_grammar(PATTERN)}
    return state(prompt_of(8, seed) * 4, **(given | fields))


@pytest.mark.parametrize("options", [EngineOptions(slots=4), MANY, PLAIN], ids=["one-row", "drafts", "many-row"])
def test_an_answer_follows_its_grammar_from_every_cut(
    graph: DecoderGraph, tiny_manifest: Manifest, tiny_dir: Path, options: EngineOptions
) -> None:
    def answers(*given: GenerationState) -> list[list[StepOutput]]:
        engine = OnnxEngine(tiny_manifest, graph, options)
        engine.grammars = grammars(tiny_dir)
        for number, each in enumerate(given):
            engine.submit(f"a{number}", each)
        found = run_all(engine)
        return [found[f"a{number}"] for number in range(len(given))]

    tokenizer = ChatTokenizer.load(tiny_dir)
    wholes = answers(*(asked(seed) for seed in range(4)))
    for seed, outputs in enumerate(wholes):
        ids = ids_of(outputs)
        assert re.fullmatch(PATTERN, b"".join(map(tokenizer.token_bytes, ids)).decode())
        assert outputs[-1].finish == "stop"
        cuts = range(0, len(ids) + 1, 1 if seed == 0 else 7)
        for cut, rest in zip(cuts, answers(*(asked(seed, output_ids=ids[:cut]) for cut in cuts)), strict=True):
            assert ids[:cut] + ids_of(rest) == ids and rest[-1].finish == "stop"


def test_drafts_change_nothing(graph: DecoderGraph, tiny_manifest: Manifest, tiny_dir: Path) -> None:
    found = []
    for options in (MANY, PLAIN):
        engine = OnnxEngine(tiny_manifest, graph, options)
        engine.grammars = grammars(tiny_dir)
        for seed in range(4):
            engine.submit(f"a{seed}", asked(seed, prompt_ids=ChatTokenizer.load(tiny_dir).encode("ab ab ab " * 6)))
        found.append({name: ids_of(outputs) for name, outputs in run_all(engine).items()})
        assert bool(engine.stats().accepted) == options.speculation
    assert found[0] == found[1]


def test_a_grammar_that_cannot_be_followed_is_refused(
    graph: DecoderGraph, tiny_manifest: Manifest, tiny_dir: Path
) -> None:
    engine = OnnxEngine(tiny_manifest, graph, MANY)
    engine.grammars = grammars(tiny_dir)
    with pytest.raises(InvalidGrammarError):
        engine.submit("a", asked(1, grammar=regex_grammar("(?=a)")))
    with pytest.raises(InvalidGrammarError):
        engine.submit("a", asked(1, output_ids=(5,)))
    engine.submit("a", asked(1))
    assert run_all(engine)["a"][-1].finish == "stop"


@pytest.mark.parametrize("options", [EngineOptions(slots=2), MANY], ids=["one-row", "drafts"])
def test_a_grammar_that_turns_out_to_be_too_much_ends_its_answer_as_that(
    graph: DecoderGraph, tiny_manifest: Manifest, tiny_dir: Path, options: EngineOptions
) -> None:
    engine = OnnxEngine(tiny_manifest, graph, options)
    engine.grammars = grammars(tiny_dir)
    engine.submit("a", asked(1, grammar=regex_grammar(r"((\w{1,50}){1,50}){1,60}")))
    engine.submit("b", asked(1))
    found = run_all(engine)
    assert isinstance(found["a"][-1].error, InvalidGrammarError) and ids_of(found["a"])
    assert found["b"][-1].finish == "stop"
    engine.check_integrity()


def test_who_waits_for_a_slot_keeps_its_grammar(graph: DecoderGraph, tiny_manifest: Manifest, tiny_dir: Path) -> None:
    engine = OnnxEngine(tiny_manifest, graph, EngineOptions(slots=1))
    engine.grammars = Grammars(ChatTokenizer.load(tiny_dir))
    for name in "ab":
        engine.submit(name, asked(1))
    engine.grammars = None
    assert [outputs[-1].finish for outputs in run_all(engine).values()] == ["stop", "stop"]
