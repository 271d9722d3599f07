"""Apps of the device under the ladder: the cloud answers where it may, and the device wherever nobody else can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.config import AgentConfig
from edge_agent.host import Link
from edge_agent.ladder import Accept, Limits
from tests.edge_agent.device import running_device
from tests.edge_agent.test_agent import ask, served

HARD = "Compare the causes of the French and the Russian revolution, step by step, and prove each of your claims."
PRIVATE = "My phone number is 138 0013 8000, who am I?"
LOW = Limits(accept=Accept.ONLY_HERE, reason="the battery is low")


@pytest.fixture
def config(tiny_dir: Path, tmp_path: Path) -> AgentConfig:
    return AgentConfig(model_dir=tiny_dir, data_dir=tmp_path / "data", name="phone-1", local_port=0, threads=1)


async def test_the_ladder_puts_the_cloud_first_and_says_so_in_the_record(tiny_dir: Path, tmp_path: Path) -> None:
    async with running_device(tiny_dir, tmp_path) as device:
        free = (await device.ask(HARD)).json()["edgewise"]["mode"]
        device.limits = LOW
        told = (await device.ask(HARD)).json()
        assert (free, told["edgewise"]["mode"]) == ("race", "cloud")
        assert told["edgewise"]["tier"] == "cloud:watched" and told["choices"][0]["message"]["content"]
        decisions = [record.values for record in device.records() if record.kind == "decision"]
        assert [each["clamped"] for each in decisions] == [False, True]
        here = (await device.ask(PRIVATE)).json()
        assert here["edgewise"]["tier"] == "edge:phone-1"
        device.link = Link(online=False)
        assert (await device.ask(HARD)).json()["edgewise"]["tier"] == "edge:phone-1"


async def test_a_nearly_empty_battery_is_obeyed_and_shown(config: AgentConfig, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    facts.write_text('{"battery_pct": 7, "charging": false}')
    async with served(replace(config, device_facts=facts)) as (agent, client):
        told = (await ask(client, max_tokens=100)).json()
        assert told["choices"][0]["finish_reason"] == "length"
        assert told["usage"]["completion_tokens"] == 64
        health = (await client.get("/healthz")).json()
        assert health["ladder"]["battery"] == "nearly-empty" and health["accepts"] == "only-here"
        assert health["healthy"] and health["changes"] and health["trouble"] == ""
        batch = agent.telemetry.pending(0, 10)
        assert batch is not None
        known = {record.kind: record.values for record in batch.records}
        assert known["ladder"]["to"] == "nearly-empty" and known["device"]["ladder.battery"] == "nearly-empty"


async def test_switched_off_it_limits_nothing(config: AgentConfig, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    facts.write_text('{"battery_pct": 7, "charging": false}')
    async with served(replace(config, device_facts=facts, ladder="off")) as (agent, client):
        assert (await ask(client, max_tokens=100)).json()["usage"]["completion_tokens"] == 100
        assert agent.tier.limits == Limits() and (await client.get("/healthz")).json()["ladder"] == {}
