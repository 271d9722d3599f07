"""A Door on a free port in front of a real driver; the engine under it says what the test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types import Completion

from cloud_worker.config import WorkerConfig
from cloud_worker.http.door import Door
from edgewise.api.server import bind
from edgewise.generation.state import GenerationState
from edgewise.node.driver import EngineDriver
from edgewise.node.scripted import Script, ScriptedEngine
from edgewise.observability.observer import Observer
from tests.factories.models import tiny_manifest
from tests.factories.tokenizers import tiny_tokenizer

MODEL = "scripted"
WORDS = "One, two, three and four: hello there, how are you?"


def words(state: GenerationState) -> tuple[int, ...]:
    """The same words for everybody; the choice's number stands before them, so that choices differ."""
    return tiny_tokenizer().encode(("", "b: ", "c: ")[state.choice] + WORDS)


@dataclass
class Running:
    """A served engine and its clients."""

    engine: ScriptedEngine
    driver: EngineDriver
    door: Door
    url: str
    openai: openai.AsyncOpenAI
    http: httpx.AsyncClient

    @property
    def attempts(self) -> int:
        """Those that run or wait."""
        load = self.driver.load()
        return load.running + load.queued

    async def complete(self, **fields: Any) -> Completion:
        asked: dict[str, Any] = {"model": MODEL, "prompt": "hi", "max_tokens": 40} | fields
        found = await self.openai.completions.create(**asked)
        assert isinstance(found, Completion)
        return found

    async def post(self, path: str = "/v1/completions", **fields: Any) -> httpx.Response:
        return await self.http.post(path, json={"model": MODEL, "max_tokens": 40} | fields)


Serve = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Serves a script: `async with serve(…) as running`. Two with the same tmp_path share their streams."""

    @asynccontextmanager
    async def served(
        script: Script = words,
        *,
        engine: ScriptedEngine | None = None,
        max_queue: int = 8,
        logprobs: bool = False,
        **settings: Any,
    ) -> AsyncIterator[Running]:
        engine = engine or ScriptedEngine(script, manifest=tiny_manifest())
        given = {"model_dir": Path("m"), "http": "127.0.0.1:0", "data_dir": tmp_path} | settings
        config = WorkerConfig.load({}, **given)
        driver = EngineDriver(
            engine, tiny_tokenizer(), kind="cloud", name="cloud:w", models=(MODEL,), max_queue=max_queue
        )
        await driver.start()
        listener = bind(*(config.http_address or ("", 0)))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        opened = Door.opened(config, listener, driver, engine.manifest, tiny_tokenizer(), Observer(), logprobs=logprobs)
        try:
            async with (
                opened as door,
                httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http,
                openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
            ):
                yield Running(engine, driver, door, url, client, http)
                engine.open()
        finally:
            engine.open()
            await driver.stop()
            listener.close()

    return served
