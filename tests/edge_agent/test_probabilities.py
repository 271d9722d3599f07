"""How sure the model was, told with the chunks: for each id that goes out, and for the end; only where asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.runtime import OnnxEngine
from edgewise.generation.state import GenerationState
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.node.driver import EngineDriver
from edgewise.routing.tier import Chunk
from tests.edge_agent.runtime.drive import prompt_of, run_all, state


@pytest.fixture(scope="module")
def engine(tiny_dir: Path) -> OnnxEngine:
    return OnnxEngine.load(tiny_dir)


def asked(tiny_dir: Path, **fields: Any) -> GenerationState:
    tokenizer = ChatTokenizer.load(tiny_dir)
    return state(
        prompt_of(40), tokenizer_digest=tokenizer.digest, **{"max_tokens": 20, "probabilities": True, **fields}
    )


async def chunks_of(engine: OnnxEngine, tiny_dir: Path, given: GenerationState) -> list[Chunk]:
    driver = EngineDriver(engine, ChatTokenizer.load(tiny_dir), kind="edge", name="e", models=("m",))
    await driver.start()
    try:
        return [chunk async for chunk in driver.generate(given, "a")]
    finally:
        await driver.stop()


async def test_chunks_tell_what_the_engine_told_id_for_id(engine: OnnxEngine, tiny_dir: Path) -> None:
    given = asked(tiny_dir)
    engine.submit("direct", given)
    direct = [each for output in run_all(engine)["direct"] for each in output.probabilities]
    chunks = await chunks_of(engine, tiny_dir, given)
    assert [len(chunk.probabilities) for chunk in chunks] == [len(chunk.ids) for chunk in chunks]
    assert [each for chunk in chunks for each in chunk.probabilities] == direct and len(direct) == 20
    assert all(each.logprob <= 0 <= each.entropy for each in direct)


async def test_the_end_of_an_answer_has_one_of_its_own(engine: OnnxEngine, tiny_dir: Path) -> None:
    said = [token for chunk in await chunks_of(engine, tiny_dir, asked(tiny_dir)) for token in chunk.ids]
    end = next(token for place, token in enumerate(said) if place >= 4 and token not in said[:place])
    chunks = await chunks_of(engine, tiny_dir, asked(tiny_dir, eos_ids=(end,)))
    ids = [token for chunk in chunks for token in chunk.ids]
    assert ids == said[: said.index(end)] and chunks[-1].finish == "stop"
    assert sum(len(chunk.probabilities) for chunk in chunks) == len(ids) + 1
    assert len(chunks[-1].probabilities) == 1 and chunks[-1].ids == ()


async def test_nobody_who_does_not_ask_is_told(engine: OnnxEngine, tiny_dir: Path) -> None:
    given = msgspec.structs.replace(asked(tiny_dir), probabilities=False)
    assert not any(chunk.probabilities for chunk in await chunks_of(engine, tiny_dir, given))
