"""Adapters on a whole agent over loopback HTTP: names that apps ask for, the default, and answers taken up again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from edge_agent.adapted import AdaptedModels, reread_adapters
from edge_agent.agent import EdgeAgent
from edge_agent.cloud import FAMILY_MODEL
from edge_agent.config import AgentConfig
from edge_agent.host import DeviceHost
from edge_agent.ladder.limits import Limits
from edgewise.api.intake import Snapshot
from edgewise.api.server import bind, serving
from edgewise.dialects.chat import ChatRequest
from edgewise.generation.text import TextStream
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.streams.entries import Entry, TierEntry, TokensEntry, decode_entry, encode_entry
from edgewise.streams.sqlite_log import SqliteStreamLog
from edgewise.wire.errors import ConfigError
from tests.edge_agent.device import Device, WatchedCloud, running_device
from tests.edge_agent.tiny_model import write_tiny_model
from tests.factories.adapters import write_random_adapter

SID, SECOND, THIRD = (number * 26 for number in "012")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes adapters, and two of them."""
    folder = tmp_path_factory.mktemp("adapted")
    manifest = write_tiny_model(folder / "model", adapter_rank=8)
    for seed, name in enumerate(("poet", "clerk")):
        write_random_adapter(folder / f"{name}.adapter", manifest, seed, strength=0.5)
    return folder


@pytest.fixture
def config(home: Path, tmp_path: Path) -> AgentConfig:
    named = {name: home / f"{name}.adapter" for name in ("poet", "clerk")}
    return AgentConfig(
        model_dir=home / "model", data_dir=tmp_path / "data", local_port=0, threads=1, adapters=named, ladder="off"
    )


@asynccontextmanager
async def served(config: AgentConfig) -> AsyncIterator[tuple[EdgeAgent, httpx.AsyncClient]]:
    listener = bind(config.local_host, config.local_port)
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = httpx.AsyncClient(base_url=base, trust_env=False, timeout=30.0)
    async with EdgeAgent.running(config) as agent, serving(agent.app, listener), client:
        yield agent, client


async def ask(client: httpx.AsyncClient, model: str, **more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": "hello"}
    body = {"model": model, "messages": [message], "max_tokens": 12, "seed": 1, "temperature": 0, **more}
    answered = (await client.post("/v1/chat/completions", json=body)).json()
    assert isinstance(answered, dict)
    return answered


def text(answer: dict[str, Any]) -> str:
    said = answer["choices"][0]["message"]["content"]
    assert isinstance(said, str)
    return said


async def test_apps_choose_an_adapter_by_the_models_name(config: AgentConfig) -> None:
    async with served(config) as (_, client):
        listed = [each["id"] for each in (await client.get("/v1/models")).json()["data"]]
        assert listed == ["edgewise", "tiny-edge", "tiny-edge:poet", "tiny-edge:clerk"]
        said = {name: text(await ask(client, name)) for name in listed}
        assert said["edgewise"] == said["tiny-edge"] and len(set(said.values())) == 3
        refused = await ask(client, "tiny-edge:nobody")
        assert refused["error"]["code"] == "model_not_found" and "tiny-edge:poet" in str(refused["error"])
    async with served(replace(config, default_adapter="poet", data_dir=config.data_dir / "other")) as (_, client):
        assert text(await ask(client, "edgewise")) == said["tiny-edge:poet"]
        assert text(await ask(client, "tiny-edge:clerk")) == said["tiny-edge:clerk"]


async def test_the_log_tells_the_version_that_spoke(config: AgentConfig) -> None:
    async with served(config) as (agent, client):
        versions = agent.tier.models.adapters()
        assert versions is not None
        spoke = {versions["poet"]: await ask(client, "tiny-edge:poet")}
        spoke[agent.tier.models.manifest.id] = await ask(client, "edgewise")
    async with opened_log(config) as log:
        for version, answer in spoke.items():
            (entry,) = [each for each in await entries_of(log, answer["edgewise"]["stream"]) if is_tier(each)]
            assert isinstance(entry, TierEntry) and entry.model_version == version


@pytest.mark.parametrize(
    ("asked", "default", "later"),
    [("tiny-edge:poet", "", ""), ("edgewise", "poet", "poet"), ("edgewise", "poet", ""), ("edgewise", "", "poet")],
    ids=["named", "default", "no-default-later", "default-later"],
)
async def test_an_answer_is_taken_up_again_under_what_began_it(
    config: AgentConfig, home: Path, asked: str, default: str, later: str
) -> None:
    """The agent dies in mid-answer, twice, and comes back with other names: text and log are of one voice."""
    async with served(replace(config, default_adapter=default)) as (agent, client):
        whole = await ask(client, asked)
        adapters = agent.tier.models.adapters()
        assert adapters is not None
        began = adapters["poet"] if default or ":" in asked else agent.tier.models.manifest.id
    stream = whole["edgewise"]["stream"]
    async with opened_log(config) as log:
        ids = await ids_of(log, stream)
        await leave_orphan(log, config, stream, SID, [began], cut=5)
    changed = {"other": home / "poet.adapter", "poet": home / "clerk.adapter"}
    for sid, next_sid, cut in ((SID, SECOND, 7), (SECOND, THIRD, 8)):
        async with served(replace(config, default_adapter=later, adapters=changed)) as (_, client):
            assert text(await ask(client, "tiny-edge:poet")) != text(whole)
            await client.get(f"/v1/streams/{sid}")  # until its end
        async with opened_log(config) as log:
            assert await ids_of(log, sid) == ids
            spoke = [each.model_version for each in await entries_of(log, sid) if isinstance(each, TierEntry)]
            assert spoke == [began] * len(spoke) and len(spoke) == 2 + (sid == SECOND)
            await leave_orphan(log, config, stream, next_sid, spoke, cut)


async def test_files_are_read_again_while_the_agent_runs(config: AgentConfig, home: Path, tmp_path: Path) -> None:
    """As SIGHUP asks for it: what began under the old one ends so, the next is of the new one; a bad file changes
    nothing."""
    poet = tmp_path / "poet.adapter"
    shutil.copy(home / "poet.adapter", poet)
    config = replace(config, adapters={"poet": poet, "clerk": home / "clerk.adapter"}, throttle_tokens_per_s=40.0)
    async with served(config) as (agent, client):
        said = {name: text(await ask(client, f"tiny-edge:{name}")) for name in ("poet", "clerk")}
        running = asyncio.create_task(ask(client, "tiny-edge:poet"))
        while not agent.tier.load().running:
            await asyncio.sleep(0)
        shutil.copy(home / "clerk.adapter", poet.with_name("next"))
        poet.with_name("next").replace(poet)
        await reread_adapters(agent.tier.models, config.adapters)
        assert text(await ask(client, "tiny-edge:poet")) == said["clerk"]
        assert text(await running) == said["poet"]
        poet.write_bytes(b"no adapter")
        await reread_adapters(agent.tier.models, config.adapters)
        assert text(await ask(client, "tiny-edge:poet")) == said["clerk"]


async def test_a_model_that_is_not_loaded_reads_no_adapter(config: AgentConfig) -> None:
    async with served(config) as (agent, client):
        agent.tier.models.obey(Limits(loaded=False))
        while agent.tier.models.current is not None:
            await asyncio.sleep(0.01)
        await reread_adapters(agent.tier.models, config.adapters)
        agent.tier.models.obey(Limits())
        assert text(await ask(client, "tiny-edge:poet"))


@asynccontextmanager
async def opened_log(config: AgentConfig) -> AsyncIterator[SqliteStreamLog]:
    """The streams of an agent that does not run."""
    log = SqliteStreamLog(config.data_dir / "streams.sqlite3")
    try:
        yield log
    finally:
        await log.aclose()


async def entries_of(log: SqliteStreamLog, sid: str) -> list[Entry]:
    return [decode_entry(record.payload) for record in await log.read(sid, after=-1)]


async def ids_of(log: SqliteStreamLog, sid: str) -> tuple[int, ...]:
    entries = await entries_of(log, sid)
    return tuple(token for each in entries if isinstance(each, TokensEntry) for token in each.ids)


def is_tier(entry: Entry) -> bool:
    return isinstance(entry, TierEntry)


async def leave_orphan(
    log: SqliteStreamLog, config: AgentConfig, sid: str, orphan: str, spoke: list[str], cut: int
) -> None:
    """Another stream of the same request that these versions spoke in turn, and that broke off after `cut` ids."""
    ids = await ids_of(log, sid)
    assert ids[cut:]
    snapshot = msgspec.msgpack.decode(await log.request(sid), type=Snapshot)
    header = msgspec.structs.replace(snapshot.header, sid=orphan)
    request = msgspec.msgpack.encode(msgspec.structs.replace(snapshot, header=header))
    owner = (await log.head(sid)).owner
    claim = await log.open(orphan, owner=owner, request=request, holder="agent:dead", lease_s=0.0)
    released = TextStream(ChatTokenizer.load(config.model_dir), ()).push(ids[:cut]).text
    first, *others = (TierEntry("edge:edge-0", "edge", "tiny-edge", version, "chosen") for version in spoke)
    entries: tuple[Entry, ...] = (first, TokensEntry(0, ids[:cut], released), *others)
    payloads = [encode_entry(entry) for entry in entries]
    await log.append(orphan, epoch=claim.epoch, seq=claim.next_seq, payloads=payloads)


async def test_an_answer_of_a_named_adapter_never_comes_from_the_cloud(home: Path, tmp_path: Path) -> None:
    async with running_device(home / "model", tmp_path / "data") as device:
        adapted = AdaptedModels(device.edge, lambda: "tiny-edge", lambda: {"poet": "v+1"}, "")
        host = device_host(device, adapted)
        caller = host.authenticate("")
        for model, kinds in (("tiny-edge:poet", ["edge"]), (FAMILY_MODEL, ["edge", "cloud"])):
            tiers = host.tiers(caller, model=model, device="")
            request = msgspec.convert({"model": model, "messages": []}, ChatRequest)
            assert host.facts(caller, request)["cloud.available"] == ("cloud" in kinds)
            assert [tier.kind for kind in ("edge", "cloud") for tier in tiers(kind)] == kinds


def device_host(device: Device, adapted: AdaptedModels) -> DeviceHost:
    return DeviceHost(
        name="phone-1",
        edge=device.edge,
        cloud=device.cloud,
        families=dict,
        decide=device.policies.decide,
        link=lambda: device.link,
        device_facts=device.source.read,
        record=device.telemetry.append,
        adapted=adapted,
    )


def test_names_stay_known_while_no_model_is_loaded() -> None:
    seen: list[dict[str, str] | None] = [{"poet": "v+1"}, None, {}]
    adapted = AdaptedModels(WatchedCloud(), lambda: "m", lambda: seen[0], "poet")
    assert adapted.names() == ["m:poet"] and adapted.tier("edgewise").capabilities.model_version == "v+1"
    del seen[0]
    assert adapted.names() == ["m:poet"] and adapted.tier("m:poet").capabilities.models[0] == "m:poet"
    del seen[0]
    assert adapted.names() == [] and adapted.tier("edgewise").capabilities.model_version == ""


def test_a_default_that_is_no_adapter_is_told(home: Path) -> None:
    environ = {"EDGEWISE_AGENT_MODEL_DIR": str(home / "model"), "EDGEWISE_AGENT_DEFAULT_ADAPTER": "nobody"}
    for adapters in ("", f"poet={home / 'poet.adapter'}"):
        with pytest.raises(ConfigError, match="no adapter 'nobody'"):
            AgentConfig.load(environ | {"EDGEWISE_AGENT_ADAPTERS": adapters})
    assert AgentConfig.load(environ | {"EDGEWISE_AGENT_ADAPTERS": "nobody=x"}).default_adapter == "nobody"


def test_names_are_known_before_anyone_asks() -> None:
    seen: list[dict[str, str] | None] = [{"poet": "v+1"}, None]
    adapted = AdaptedModels(WatchedCloud(), lambda: "m", lambda: seen.pop(0), "")
    assert adapted.names() == ["m:poet"]


@pytest.mark.parametrize("text", ["poet", "poet=", "po/et=x", "=x", "a:b=x"])
def test_adapters_that_cannot_be_are_told(home: Path, text: str) -> None:
    with pytest.raises(ConfigError) as told:
        AgentConfig.load({"EDGEWISE_AGENT_MODEL_DIR": str(home / "model"), "EDGEWISE_AGENT_ADAPTERS": text})
    assert "NAME=FILE" in told.value.expected
