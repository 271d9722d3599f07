"""JSON and regular expressions asked of a worker alone by the stock client; the engine has random weights."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import openai
import pytest

from cloud_worker.config import WorkerConfig
from cloud_worker.http.door import Door
from edgewise.api.server import bind
from edgewise.node.driver import EngineDriver
from edgewise.observability.observer import Observer
from tests.cloud_worker.engine.test_constrained import SCHEMA
from tests.cloud_worker.engine.test_core import make_engine
from tests.cloud_worker.http.conftest import MODEL
from tests.factories.tokenizers import END_ID, tiny_tokenizer

FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
CHAT: Any = {"model": MODEL, "messages": [{"role": "user", "content": "你好"}], "max_tokens": 200, "seed": 3}


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    engine, tokenizer = make_engine(context_tokens=256, eos=(END_ID,)), tiny_tokenizer()
    driver = EngineDriver(engine, tokenizer, kind="cloud", name="cloud:w", models=(MODEL,))
    config = WorkerConfig.load({}, model_dir=Path("m"), http="127.0.0.1:0", data_dir=folder)
    listener = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    await driver.start()
    assert driver.capabilities.grammars
    try:
        async with (
            Door.opened(config, listener, driver, engine.manifest, tokenizer, Observer(), logprobs=True),
            openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client,
        ):
            yield client
    finally:
        await driver.stop()
        listener.close()


async def test_the_stock_client_gets_what_it_asked_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        whole = await client.chat.completions.create(**CHAT, response_format=FORMAT)
        content = whole.choices[0].message.content or ""
        assert whole.choices[0].finish_reason == "stop"
        jsonschema.validate(msgspec.json.decode(content), SCHEMA)

        stream = await client.chat.completions.create(**CHAT, response_format=FORMAT, stream=True)
        parts = [part.choices[0] async for part in stream]
        assert "".join(part.delta.content or "" for part in parts) == content
        assert parts[-1].finish_reason == "stop"

        both = await client.chat.completions.create(**CHAT, response_format=FORMAT, n=2, logprobs=True)
        assert both.choices[0].message.content == content != both.choices[1].message.content

        any_object = await client.chat.completions.create(
            **CHAT | {"max_tokens": 30}, response_format={"type": "json_object"}
        )
        assert (any_object.choices[0].message.content or "").startswith("{")

        digits: Any = {"edgewise": {"regex": "[0-9]{3}-(好|[a-f])"}}
        done = await client.completions.create(model=MODEL, prompt="hi", max_tokens=40, extra_body=digits)
        assert re.fullmatch("[0-9]{3}-(好|[a-f])", done.choices[0].text) and done.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_cannot_be_followed_is_a_bad_request(tmp_path: Path, stream: bool) -> None:
    async with serving(tmp_path) as client:
        schemas: list[Any] = [{"type": "blah"}, {"allOf": [{"type": "string"}, {"type": "null"}]}, {"not": {}}]
        for schema in schemas:
            wrong: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
            with pytest.raises(openai.BadRequestError, match="cannot be followed") as raised:
                await client.chat.completions.create(**CHAT, response_format=wrong, stream=stream)
            assert raised.value.code == "invalid_grammar"
        with pytest.raises(openai.BadRequestError, match="look-around"):
            await client.chat.completions.create(**CHAT, extra_body={"edgewise": {"regex": "(?=a)"}}, stream=stream)
        plain = await client.chat.completions.create(**CHAT | {"max_tokens": 3})
        assert plain.choices[0].finish_reason == "length"
