"""The worker's own stack without a socket: model directory, TorchEngine, EngineDriver, text. Resume at every token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud_worker.config import WorkerConfig
from cloud_worker.main import load_model
from edgewise.generation.grammar import InvalidGrammarError
from edgewise.generation.state import GenerationState, Message, Sampling
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.node.driver import EngineDriver
from edgewise.routing.tier import Chunk
from edgewise.wire.errors import MessageTooLongError, UnsupportedParameterError
from tests.factories.models import write_tiny_model
from tests.factories.states import make_state


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    write_tiny_model(directory)
    return directory


@asynccontextmanager
async def driving(model_dir: Path) -> AsyncIterator[EngineDriver]:
    """A fresh worker, as after a crash."""
    engine, tokenizer = load_model(WorkerConfig(url="http://h", model_dir=model_dir, slots=2, threads=1))
    driver = EngineDriver(engine, tokenizer, kind="cloud", name="cloud:w", models=("tiny-cloud",))
    await driver.start()
    try:
        yield driver
    finally:
        await driver.stop()


def asking(**fields: Any) -> GenerationState:
    messages = (Message("user", "你好, who are you? <|end|>"),)
    given = {"prompt_ids": (), "messages": messages, "max_tokens": 20, "sampling": Sampling(temperature=0.8, top_p=0.9)}
    return make_state(**(given | fields))


async def collect(driver: EngineDriver, state: GenerationState, attempt: str) -> list[Chunk]:
    return [chunk async for chunk in driver.generate(state, attempt)]


async def test_another_worker_completes_what_the_first_began(model_dir: Path) -> None:
    async with driving(model_dir) as first:
        whole = await collect(first, asking(), "whole")
    prompt_ids = ChatTokenizer.load(model_dir).encode_chat(asking().messages)
    ids = tuple(token for chunk in whole for token in chunk.ids)
    text = "".join(chunk.text for chunk in whole)
    async with driving(model_dir) as second:
        for cut in range(len(ids)):
            rest = await collect(second, asking(prompt_ids=prompt_ids, output_ids=ids[:cut]), f"rest-{cut}")
            assert ids[:cut] + tuple(token for chunk in rest for token in chunk.ids) == ids
            assert text.endswith("".join(chunk.text for chunk in rest))


async def test_refusals_of_the_engine_come_out_typed(model_dir: Path) -> None:
    async with driving(model_dir) as driver:
        with pytest.raises(InvalidGrammarError):
            await collect(driver, asking(grammar="root ::= 1"), "a")
        with pytest.raises(UnsupportedParameterError):
            await collect(driver, asking(tools=msgspec.Raw(b"[]")), "t")
        with pytest.raises(MessageTooLongError):
            await collect(driver, asking(messages=(Message("user", "long " * 400),)), "b")
        assert driver.healthy
