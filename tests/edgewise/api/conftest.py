"""An AnswerService over a scripted host: real log, real runner, real endpoints; only the tiers follow a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from edgewise.api.chat import ChatCompletions
from edgewise.api.drain import Drain
from edgewise.api.host import Admission, Caller, Facts, Family
from edgewise.api.models import Models
from edgewise.api.repeats import MemoryRepeats
from edgewise.api.service import AnswerService
from edgewise.api.streams import Streams
from edgewise.api.visits import Visits
from edgewise.dialects.chat import ChatRequest, parse_chat_request
from edgewise.routing.plan import TierSource
from edgewise.routing.runner import Outcome, Runner
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.tier import Capabilities, Tier, TierKind
from edgewise.streams.log import StreamLog
from edgewise.streams.sqlite_log import SqliteStreamLog
from edgewise.streams.tailer import TailerHub
from edgewise.wire.errors import EdgewiseError, RateState, UnauthenticatedError, UnknownModelError
from policies import Decision, Mode
from tests.factories.tokenizers import tiny_tokenizer

WORDS = ("你", "好", ", ", "world", "!")


class ScriptedHost:
    """Answers by `tiers`, decides `decision`, remembers what it was told."""

    origin = "control_plane"

    def __init__(self) -> None:
        self.tokenizer = tiny_tokenizer()
        self.decision = Decision(
            mode=Mode("prefer-edge"), rule_id="规则 1", reason="because", fallback=(Mode("cloud"),)
        )
        self.scripted: list[ScriptedTier] = [self.tier("edge:a", "edge")]
        self.seen: list[Facts] = []
        self.admissions: list[Admission] = []
        self.outcomes: list[Outcome] = []
        self.refusal: EdgewiseError | None = None
        self.rate_state: RateState | None = None
        self.reserved: list[tuple[str, int, int]] = []
        self.released: list[str] = []
        self.pays_for: int | None = None
        self.priced: list[tuple[tuple[TierKind, ...], int, int]] = []

    def tier(self, name: str, kind: TierKind, **script: Any) -> ScriptedTier:
        capabilities = Capabilities(
            models=(f"model-{kind}",),
            tokenizer_digest=self.tokenizer.digest,
            template_digest=self.tokenizer.template_digest,
            context_tokens=200,
        )
        return ScriptedTier(name, kind, Script(**({"words": WORDS} | script)), capabilities)

    def authenticate(self, authorization: str) -> Caller:
        if not authorization.startswith("Bearer "):
            raise UnauthenticatedError("There is no API key")
        return Caller(authorization.removeprefix("Bearer "), "t", "free")

    def models(self) -> list[str]:
        return ["edgewise"]

    def family(self, model: str) -> Family:
        if model != "edgewise":
            raise UnknownModelError(f"There is no model {model!r}")
        return Family("edgewise", self.tokenizer, 200)

    def facts(self, caller: Caller, request: ChatRequest) -> dict[str, Any]:
        return {"device.present": True}

    def decide(self, facts: Facts) -> Decision:
        self.seen.append(facts)
        return self.decision

    def tiers(self, caller: Caller, *, model: str, device: str) -> TierSource:
        def source(kind: TierKind) -> list[Tier]:
            return [tier for tier in self.scripted if tier.kind == kind]

        return source

    async def reserve(self, caller: Caller, sid: str, prompt_tokens: int, max_tokens: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.reserved.append((sid, prompt_tokens, max_tokens))

    def paid_for(self, kinds: tuple[TierKind, ...], prompt_tokens: int, max_cost: int) -> int | None:
        self.priced.append((kinds, prompt_tokens, max_cost))
        return self.pays_for

    def salt(self, caller: Caller) -> bytes:
        return caller.key_id.encode()

    def tenant(self, caller: Caller) -> bytes:
        return caller.tenant.encode()

    def release(self, sid: str) -> None:
        self.released.append(sid)

    def rate(self, sid: str) -> RateState | None:
        return self.rate_state

    def decided(self, admission: Admission) -> None:
        self.admissions.append(admission)

    def finished(self, sid: str, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Api:
    """The endpoints behind an HTTP client; `alice` and `bob` are two keys."""

    def __init__(self, host: ScriptedHost, service: AnswerService, runner: Runner) -> None:
        self.host = host
        self.runner = runner
        self.service = service
        self.leaving = Drain()
        self.repeats = MemoryRepeats()
        self.visits = Visits(service, self.repeats)
        self.chat = ChatCompletions(service, self.visits, self.leaving)
        app = Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/models", Models(service)),
                Route("/v1/streams/{sid}", Streams(service, self.leaving), methods=["GET", "DELETE"]),
            ]
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")

    async def ask(self, key: str = "alice", headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        return await self.client.post(
            "/v1/chat/completions", content=self.body(**fields), headers=self.as_key(key) | (headers or {})
        )

    @staticmethod
    def body(**fields: Any) -> bytes:
        return json.dumps({"model": "edgewise", "messages": [{"role": "user", "content": "hi"}]} | fields).encode()

    def request(self, **fields: Any) -> ChatRequest:
        return parse_chat_request(self.body(**fields))

    def gated(self) -> asyncio.Event:
        """Let the one tier speak only once this event is set."""
        gate = asyncio.Event()
        self.host.scripted = [self.host.tier("edge:a", "edge", gate=gate)]
        return gate

    async def hang_up(self, headers: dict[str, str], chat: ChatCompletions | None = None, **fields: Any) -> str:
        """Ask as alice and hang up before an answer comes; the id of the stream."""
        messages: Iterator[dict[str, Any]] = iter(
            [{"type": "http.request", "body": self.body(**fields)}, {"type": "http.disconnect"}]
        )

        async def receive() -> dict[str, Any]:
            return next(messages)

        async def send(message: Any) -> None:
            raise AssertionError(f"nobody is there to hear {message}")

        named = [(name.encode(), value.encode()) for name, value in (self.as_key("alice") | headers).items()]
        await (chat or self.chat)({"type": "http", "method": "POST", "headers": named}, receive, send)
        return self.host.admissions[-1].sid

    async def read(self, path: str, key: str = "alice", **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=self.as_key(key) | headers)

    @staticmethod
    def as_key(key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"}


@asynccontextmanager
async def api_over(log: StreamLog) -> AsyncIterator[Api]:
    """The endpoints over any log."""
    host = ScriptedHost()
    runner = Runner(log, holder="test", lease_s=60)
    api = Api(host, AnswerService(host, log, TailerHub(log), runner, draw_seed=lambda: 7), runner)
    yield api
    await api.client.aclose()
    await api.visits.aclose()
    await runner.drain(0)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    log = SqliteStreamLog(tmp_path / "log.sqlite3")
    async with api_over(log) as api:
        yield api
    await log.aclose()
