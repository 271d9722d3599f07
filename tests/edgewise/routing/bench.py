"""A runner over a fresh SQLite log, with tiers that follow scripts, and how its log is read."""

import asyncio
from collections.abc import Callable, Iterator

from edgewise.generation.state import GenerationState
from edgewise.routing.plan import Limits, Plan
from edgewise.routing.runner import Job, Outcome, Runner
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.seams import Seams
from edgewise.routing.tier import Tier, TierKind
from edgewise.streams.entries import (
    Entry,
    TierEntry,
    TokensEntry,
    decode_entry,
)
from edgewise.streams.sqlite_log import SqliteStreamLog
from policies import Terms
from policies.terms import NO_TERMS

WORDS = tuple(f"w{index} " for index in range(12))
STATE = GenerationState(
    prompt_ids=(1, 2, 3), messages=(), model="m", max_tokens=50, seed=1, tokenizer_digest="t", template_digest="c"
)
SID = "0" * 26


class Bench:
    """A runner over a fresh log, with tiers that follow scripts."""

    def __init__(self, log: SqliteStreamLog) -> None:
        self.log = log
        self.now = 0.0
        self.naps: list[float] = []
        self.runner = Runner(log, holder="test", lease_s=60, clock=lambda: self.now, sleep=self.nap)
        self.tiers: list[ScriptedTier] = []
        self.on_nap: Callable[[], None] = lambda: None

    async def nap(self, seconds: float) -> None:
        self.now += seconds
        self.on_nap()

    def source(self, kind: TierKind) -> list[Tier]:
        return [tier for tier in self.tiers if tier.kind == kind]

    async def start(
        self,
        *tiers: ScriptedTier,
        kinds: tuple[TierKind, ...] = ("edge", "cloud"),
        state: GenerationState = STATE,
        limits: Limits | None = None,
        seams: Seams | None = None,
        mode: str = "prefer-edge",
        terms: Terms = NO_TERMS,
        encode: bool = True,
    ) -> asyncio.Future[Outcome]:
        self.tiers = list(tiers)
        claim = await self.runner.open(SID, owner="k", request=b"r")
        plan = Plan(mode=mode, kinds=kinds, tiers=self.source, limits=limits or Limits(), terms=terms)
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        to_ids = (lambda text: tuple(range(len(text.split())))) if encode else None
        self.runner.start(Job(SID, claim, plan, state, 0.0, to_ids, seams=seams or Seams()), ended.set_result)
        return ended

    async def answer(self, *tiers: ScriptedTier, **options: object) -> tuple[Outcome, list[Entry]]:
        outcome = await (await self.start(*tiers, **options))  # type: ignore[arg-type]
        return outcome, await self.entries()

    async def entries(self) -> list[Entry]:
        return [decode_entry(record.payload) for record in await self.log.read(SID, after=-1)]


def text(entries: list[Entry]) -> str:
    return "".join(entry.text for entry in entries if isinstance(entry, TokensEntry))


def ids(entries: list[Entry]) -> list[int]:
    return [token for entry in entries if isinstance(entry, TokensEntry) for token in entry.ids]


def speakers(entries: list[Entry]) -> Iterator[tuple[str, str]]:
    return ((entry.tier, entry.why) for entry in entries if isinstance(entry, TierEntry))


def edge(**script: object) -> ScriptedTier:
    return ScriptedTier("edge:a", "edge", Script(WORDS, **script))  # type: ignore[arg-type]


def cloud(name: str = "cloud:w", **script: object) -> ScriptedTier:
    return ScriptedTier(name, "cloud", Script(WORDS, **script))  # type: ignore[arg-type]
