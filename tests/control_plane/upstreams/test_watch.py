"""How upstreams are: health and load by each engine's own routes; who is passed over, and who comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest

from control_plane.config import UpstreamConfig
from control_plane.upstreams.http_client import HttpClient
from control_plane.upstreams.kinds import KINDS, KindName
from control_plane.upstreams.openai_tier import OpenAITier
from control_plane.upstreams.ready import Upstreams, upstream_models, with_upstreams
from control_plane.upstreams.speech import Tokens, Upstream
from control_plane.upstreams.watch import FAILURES_MAX, STALE_S, Watch
from edgewise.generation.state import GenerationState, Message
from edgewise.routing.attempt import Attempt
from edgewise.routing.modes.ordered import open_ordered
from edgewise.routing.plan import Plan
from edgewise.routing.tier import Load
from edgewise.wire.errors import ConfigError, NoTierError
from tests.control_plane.upstreams.engines import METRICS, TOKENIZER, Engine, chat, id_stream
from tests.factories.http_servers import Peer, http_server, until

STATE = GenerationState(
    prompt_ids=(5, 6), messages=(Message("user", "hi"),), model="m", max_tokens=20, seed=4, eos_ids=(1,)
)


def pages(kind: KindName, health: int = 200, metrics: bytes | None = None) -> dict[str, tuple[int, bytes]]:
    told = METRICS[kind].encode() if metrics is None else metrics
    return {KINDS[kind].health: (health, b"{}"), KINDS[kind].metrics: (200, told)}


@asynccontextmanager
async def tiers(*engines: tuple[KindName, Engine]) -> AsyncIterator[list[OpenAITier]]:
    """Each engine as a tier, in order: up-0, up-1, …"""
    async with HttpClient() as http, AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(http_server(engine.script)) for _, engine in engines]
        yield [
            OpenAITier(Upstream(f"up-{n}", server.url(), "m", kind=KINDS[kind]), http)
            for n, ((kind, _), server) in enumerate(zip(engines, servers, strict=True))
        ]


@pytest.mark.parametrize("kind", sorted(METRICS))
async def test_every_engines_load_is_read_by_its_own_names(kind: KindName) -> None:
    async with tiers((kind, Engine(pages=pages(kind)))) as (tier,):
        assert tier.load() == Load(slots=1000) and tier.watch.ready
        await tier.watch.look()
        load = tier.load()
        assert (load.running, load.queued) == (3, 2) and 0 <= load.age_s < STALE_S
        assert tier.watch.busy == (2, 3, 0.5 if KINDS[kind].gauges.kv_use else 0.0)


async def test_several_engines_behind_one_address_are_counted_together() -> None:
    page = "".join(
        f'vllm:num_requests_running{{engine="{n}"}} {n}\nvllm:num_requests_waiting{{engine="{n}"}} 1\n'
        f'vllm:kv_cache_usage_perc{{engine="{n}"}} 0.{n}\n'
        for n in (1, 2)
    )
    async with tiers(("vllm", Engine(pages=pages("vllm", metrics=page.encode())))) as (tier,):
        await tier.watch.look()
        assert (tier.load().running, tier.watch.busy) == (3, (2, 3, 0.2))


@pytest.mark.parametrize("page", [b"", b"\xff\xfe nonsense", b"vllm:num_requests_running NaN\n", b"x" * 5_000_000])
async def test_a_page_that_tells_nothing_takes_nobody_out(page: bytes) -> None:
    async with tiers(("vllm", Engine(pages=pages("vllm", metrics=page)))) as (tier,):
        await tier.watch.look()
        assert tier.watch.ready and not tier.watch.measured
        assert tier.load() == Load(slots=1000)


async def test_an_upstream_that_is_ill_is_passed_over_until_it_is_well() -> None:
    engine, other = Engine(pages=pages("vllm", 503)), Engine()
    async with tiers(("vllm", engine), ("openai", other)) as both:
        upstreams = Upstreams(both)
        for _ in range(FAILURES_MAX - 1):
            await both[0].watch.look()
        assert [tier.name for tier in upstreams] == ["cloud:up-0", "cloud:up-1"]
        await both[0].watch.look()
        assert [tier.name for tier in upstreams] == ["cloud:up-1"] and len(upstreams) == 1
        engine.pages = pages("vllm")
        await both[0].watch.look()
        assert [tier.name for tier in upstreams] == ["cloud:up-1", "cloud:up-0"]  # two wait there


async def test_where_all_are_passed_over_each_says_so_at_once_and_policies_know() -> None:
    engine = Engine(chat("vllm", ["a"], "stop"), pages=pages("vllm", 503))
    async with tiers(("vllm", engine)) as (tier,):
        upstreams = Upstreams([tier])
        for _ in range(FAILURES_MAX):
            await tier.watch.look()
        assert list(upstreams) == [tier] and with_upstreams({"cloud.workers": 0}, upstreams) == {"cloud.workers": 0}
        with pytest.raises(NoTierError, match="cloud:up-0 is passed over") as caught:
            await open_ordered(
                Plan(mode="cloud", kinds=("cloud",), tiers=lambda kind: list(upstreams)),
                STATE,
                lambda each: Attempt(each, STATE, "a-1"),
            )
        assert "look at that engine" in caught.value.remedy and not engine.asked and tier.load().running == 0
        engine.pages = pages("vllm")
        await tier.watch.look()
        assert [chunk async for chunk in upstreams[0].generate(STATE, "a-2")]


async def test_a_server_without_those_routes_is_well() -> None:
    async with tiers(("llama.cpp", Engine())) as (tier,):
        for _ in range(FAILURES_MAX):
            await tier.watch.look()
        assert tier.watch.ready and not tier.watch.measured


async def test_one_that_never_answers_is_ill_and_holds_nobody_up() -> None:
    async def silent(peer: Peer) -> None:
        await peer.gone()

    async def nap(seconds: float) -> None:
        await asyncio.Event().wait()

    async with http_server(silent) as server, HttpClient() as http:
        watch = Watch("up", server.url().removesuffix("/v1"), KINDS["vllm"], http, {}, timeout_s=0.02)
        for _ in range(FAILURES_MAX):
            await watch.look()
        assert not watch.ready
        hangs = OpenAITier(Upstream("hangs", server.url(), "m", kind=KINDS["vllm"]), http)
        async with tiers(("vllm", Engine(pages=pages("vllm")))) as (tier,), Upstreams([hangs, tier]).watched(nap):
            await until(lambda: tier.watch.measured)
            assert not hangs.watch.measured


async def test_a_load_that_was_told_long_ago_is_forgotten() -> None:
    now, ours = 0.0, 2
    engine = Engine(pages=pages("vllm"))
    async with http_server(engine.script) as server, HttpClient() as http:
        root = server.url().removesuffix("/v1")
        watch = Watch("up", root, KINDS["vllm"], http, {}, ours=lambda: ours, clock=lambda: now)
        assert watch.load() == Load(running=2, slots=1000)
        await watch.look()
        assert (watch.load().running, watch.busy) == (3, (2, 3, 0.5))
        ours = 6
        assert (watch.load().running, watch.busy) == (7, (2, 7, 0.5))  # three of them then, and four that began since
        ours = 0
        assert watch.load().running == 1
        now, ours = STALE_S + 1, 1
        assert watch.load() == Load(running=1, slots=1000) and watch.busy == (0, 1, 0.0)


@pytest.mark.parametrize(
    ("page", "busy"),
    [
        (b"vllm:num_requests_running 1e308\nvllm:num_requests_running 1e308\n", (0, 2**31, 0.0)),
        (b"vllm:num_requests_waiting 1e308\nvllm:kv_cache_usage_perc 7\n", (2**31, 0, 1.0)),
    ],
)
async def test_numbers_beyond_all_measure_are_cut(page: bytes, busy: tuple[int, int, float]) -> None:
    async with tiers(("vllm", Engine(pages=pages("vllm", metrics=page)))) as (tier,):
        await tier.watch.look()
        assert tier.watch.busy == busy


async def test_a_look_that_breaks_is_not_the_last_one(caplog: pytest.LogCaptureFixture) -> None:
    naps = asyncio.Semaphore(0)

    async def nap(seconds: float) -> None:
        await naps.acquire()

    now = [lambda: 1 / 0, lambda: 1.0]
    engine = Engine(pages=pages("vllm"))
    async with http_server(engine.script) as server, HttpClient() as http:
        tier = OpenAITier(Upstream("up", server.url(), "m", kind=KINDS["vllm"]), http)
        root = server.url().removesuffix("/v1")
        tier.watch = Watch("up", root, KINDS["vllm"], http, {}, clock=lambda: now.pop(0)() if len(now) > 1 else 1.0)
        async with Upstreams([tier]).watched(nap):
            await until(lambda: "met a fault of ours" in caplog.text)
            assert not tier.watch.measured
            naps.release()
            await until(lambda: tier.watch.measured)


async def test_going_through_them_meets_each_once_whatever_changes_meanwhile() -> None:
    async with tiers(("openai", Engine()), ("openai", Engine())) as (first, second):
        upstreams = Upstreams([first, second])
        met = []
        for tier in upstreams:
            met.append(tier.name)
            first._open.add("an answer that begins")
        assert met == ["cloud:up-0", "cloud:up-1"]
        assert [tier.name for tier in upstreams] == ["cloud:up-1", "cloud:up-0"]  # our own answers count
        assert upstreams[0] is second


async def test_a_key_goes_to_every_route() -> None:
    engine = Engine(chat("sglang", ["a"], "stop"), pages=pages("sglang"), hang=True)
    async with http_server(engine.script) as server, HttpClient() as http:
        tier = OpenAITier(Upstream("up", server.url(), "m", "sk-made-up", KINDS["sglang"]), http)
        await tier.watch.look()
        chunks = tier.generate(STATE, "a-1")
        await anext(chunks)
        await chunks.aclose()  # type: ignore[attr-defined]
        await tier.settle()
    paths = [head.split(" ")[1] for head in engine.heads]
    assert sorted(paths) == ["/abort_request", "/health", "/metrics", "/v1/chat/completions"]
    assert all("\r\nauthorization: Bearer sk-made-up\r\n" in head for head in engine.heads)


async def test_all_are_looked_at_again_and_again() -> None:
    engine, naps = Engine(pages=pages("vllm", 503)), asyncio.Semaphore(0)

    async def nap(seconds: float) -> None:
        await naps.acquire()

    async with tiers(("vllm", engine), ("sglang", Engine(pages=pages("sglang")))) as both:
        upstreams = Upstreams(both)
        async with upstreams.watched(nap):
            await until(lambda: both[1].watch.measured)
            for _ in range(2 * FAILURES_MAX):
                naps.release()
            await until(lambda: len(upstreams) == 1)


async def test_policies_hear_of_upstreams_that_are_ready() -> None:
    workers = {"cloud.available": False, "cloud.workers": 0}
    assert with_upstreams(workers, []) == workers
    async with tiers(("vllm", Engine(pages=pages("vllm"))), ("openai", Engine())) as both:
        assert with_upstreams(workers, both) == {"cloud.available": True, "cloud.workers": 2}
        await both[0].watch.look()
        busy = {"cloud.available": True, "cloud.workers": 1, "cloud.queue_depth": 4}
        assert with_upstreams(busy, both) == {"cloud.available": True, "cloud.workers": 3, "cloud.queue_depth": 6}


def configs(*more: dict[str, object]) -> Sequence[UpstreamConfig]:
    return [UpstreamConfig(**({"name": "a", "base_url": "http://x/v1", "model": "m"} | each)) for each in more]  # type: ignore[arg-type]


async def test_settings_become_tiers() -> None:
    told = configs(
        {"kind": "sglang", "token_ids": True, "api_key_env": "K", "ranked": True},
        {"name": "b", "continues": True},
        {"name": "c", "kind": "trtllm", "token_ids": True, "context_tokens": 4096},
    )
    async with HttpClient() as http:
        first, second, third = Upstreams.of(told, http, Tokens(TOKENIZER, 64), {"K": "sk-made-up"})
    assert first.capabilities.tokenizer_digest == TOKENIZER.digest and first.name == "cloud:a"
    assert (second.capabilities.tokenizer_digest, second.capabilities.continues) == ("", True)
    assert [tier.capabilities.context_tokens for tier in (first, second, third)] == [64, 0, 4096]


async def test_key_kind_and_rank_of_the_settings_reach_the_engine() -> None:
    engine = Engine(id_stream("sglang", [TOKENIZER.encode("hi")], "stop", 1))
    async with http_server(engine.script) as server, HttpClient() as http:
        given = {"base_url": server.url(), "kind": "sglang", "token_ids": True, "api_key_env": "K", "ranked": True}
        (tier,) = Upstreams.of(configs(given), http, Tokens(TOKENIZER, 64), {"K": "sk-made-up"})
        assert [chunk async for chunk in tier.generate(msgspec.structs.replace(STATE, rank=2), "a-1")]
    ((path, body),) = engine.asked
    assert (path, body["rid"], body["priority"]) == ("/v1/completions", "a-1", 2)
    assert "\r\nauthorization: Bearer sk-made-up\r\n" in engine.heads[0]


def test_models_of_upstreams_tell_how_much_they_read_where_they_take_ids() -> None:
    told = configs(
        {"model": "text"},
        {"model": "ids", "token_ids": True},
        {"model": "long", "token_ids": True, "context_tokens": 512},
        {"model": "long", "token_ids": True, "context_tokens": 4096},
        {"model": "long"},
    )
    assert upstream_models(told) == {"text": None, "ids": 0, "long": 4096}


async def test_ids_need_a_model_here() -> None:
    async with HttpClient() as http:
        with pytest.raises(ConfigError, match="no model here") as caught:
            Upstreams.of(configs({"kind": "vllm", "token_ids": True}), http, None, {})
    assert "EDGEWISE_MODELS" in caught.value.expected
