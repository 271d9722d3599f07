"""Door: everything behind the worker's own address, opened in order and closed in reverse. Wiring only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from cloud_worker.config import WorkerConfig
from cloud_worker.http.app import WorkerApi
from cloud_worker.http.host import WorkerHost
from edgewise.api.host import Family
from edgewise.api.intake import ServiceSettings
from edgewise.api.server import serving
from edgewise.api.service import AnswerService
from edgewise.api.takeover import Takeover
from edgewise.ending import end
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.node.driver import EngineDriver
from edgewise.observability.observer import Observer
from edgewise.routing.plan import Limits
from edgewise.routing.runner import Runner
from edgewise.streams.sqlite_log import SqliteStreamLog
from edgewise.streams.tailer import TailerHub
from edgewise.wire.limits import LEASE_S
from edgewise.wire.manifest import Manifest

LIMITS = Limits(first_token_s=600.0, stall_s=60.0)
"""There is nobody else to ask: an answer may wait long for its slot, as long as its client does."""
STREAMS_FILE = "streams.sqlite3"


@dataclass(frozen=True)
class Door:
    """A worker that serves clients. `server` ends when serving failed."""

    app: WorkerApi
    runner: Runner
    server: asyncio.Task[None]

    @staticmethod
    @asynccontextmanager
    async def opened(
        config: WorkerConfig,
        listener: socket.socket,
        driver: EngineDriver,
        manifest: Manifest,
        tokenizer: ChatTokenizer,
        observer: Observer,
        *,
        logprobs: bool = False,
    ) -> AsyncIterator[Door]:
        """Serve on `listener`; answers that the last process left open go on. `logprobs`: the engine tells them.

        Raises LogUnavailableError.
        """
        async with AsyncExitStack() as stack:
            path = config.data_dir / STREAMS_FILE if config.streams == "disk" else None
            log = SqliteStreamLog(path, ttl_s=config.stream_ttl_s)
            stack.push_async_callback(log.aclose)
            runner = Runner(log, holder=f"worker:{config.name}", lease_s=LEASE_S)
            stack.push_async_callback(runner.drain, 0.0)
            observer.gauge("edgewise.streams.open").watch(lambda: {(): float(runner.running)})
            family = Family(manifest.name, tokenizer, manifest.context_tokens)
            host = WorkerHost(driver, family, config.http_key)
            settings = ServiceSettings(limits=LIMITS)
            service = AnswerService(host, log, TailerHub(log), runner, settings=settings, observer=observer)
            takeover = asyncio.create_task(Takeover(service).run(), name="takeover")
            stack.push_async_callback(end, takeover)
            app = WorkerApi(service, driver, open_here=not config.http_key, logprobs=logprobs)
            server = await stack.enter_async_context(serving(app, listener))
            yield Door(app, runner, server)

    async def leave(self, timeout_s: float) -> None:
        """Take nothing new and let running answers end; those that do not within `timeout_s` are handed back: their
        streams stay open in the log, for the next process to go on with."""
        self.app.leaving.begin()
        await self.runner.drain(timeout_s)
