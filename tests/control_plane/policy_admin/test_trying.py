"""Trying policies over HTTP: dry runs that leave no trace, replays that count, and changes in one transaction."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from control_plane.decisions.records import Decided
from control_plane.policy_admin.endpoints import router
from control_plane.policy_admin.trying import DryRequest, Facts, HealthyWorld, gather
from edgewise.ids import new_id
from edgewise.wire.errors import BadRequestError
from tests.control_plane.policy_admin.test_service import WRONG_TEST, small
from tests.factories.admin import NOON, Admin

URL = "/admin/v1/policies"
SECRET = "my id card is 11010519491231002X, call 13800138000"


async def test_a_dry_run_tells_every_rule_and_the_difference_and_keeps_nothing(
    admin: Admin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = {"messages": [{"role": "user", "content": SECRET}], "text": small("draft")}
    found = (await admin.client.post(f"{URL}/dry-run", json=body)).json()
    assert found["decision"]["rule_id"] in {"only", "default"}
    assert [rule["rule_id"] for rule in found["rules"]] == ["only"]
    assert found["facts"]["request.sensitivity"] in {"personal", "secret"}
    assert found["active"]["mode"] == "edge" and "rule_id" in found["differs"]
    assert found["flips"]
    versions = (await admin.client.get(URL)).json()["items"]
    audit = await admin.client.get("/admin/v1/audit")
    assert [version["version"] for version in versions] == [1]
    assert SECRET not in caplog.text + audit.text + str(found)
    assert len(audit.json()["items"]) == 4  # the first keys and the seed policy


async def test_facts_override_and_null_takes_one_away(admin: Admin) -> None:
    body = {"facts": {"device.battery_pct": 3, "request.complexity": 0.9, "device.rtt_ms": None}}
    found = (await admin.client.post(f"{URL}/dry-run", json=body)).json()
    assert found["facts"]["device.battery_pct"] == 3 and "device.rtt_ms" not in found["facts"]
    assert found["differs"] == []
    unknown = await admin.client.post(f"{URL}/dry-run", json={"facts": {"device.batery": 3}})
    assert (unknown.status_code, unknown.json()["error"]["where"]) == (400, "facts")


async def test_a_draft_with_faults_is_told_by_line(admin: Admin) -> None:
    wrong = small("draft").replace("request.complexity", "request.complexiti")
    answer = await admin.client.post(f"{URL}/dry-run", json={"text": wrong})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["line"] == 8
    assert "request.complexity" in answer.json()["problems"][0]["suggestion"]
    both = await admin.client.post(f"{URL}/dry-run", json={"text": wrong, "version": 1})
    assert both.status_code == 422 and both.json().get("problems", []) == []


def test_messages_give_the_facts_that_a_real_request_would_have() -> None:
    world = HealthyWorld()
    facts = gather(DryRequest(messages=(("user", "hello there"),), max_tokens=10), world.facts(""), world.prompt_tokens)
    assert facts["request.task"] == "greeting"
    assert facts["request.context_tokens"] == int(facts["request.prompt_tokens"]) + 10
    with pytest.raises(BadRequestError):
        gather(DryRequest(messages=(("user", "x"),), sensitivity="cosmic"), {}, world.prompt_tokens)


async def test_the_world_is_asked_on_the_event_loop_where_nodes_come_and_go(admin: Admin) -> None:
    class World(HealthyWorld):
        def facts(self, device: str) -> Facts:
            assert threading.current_thread() is threading.main_thread()
            return super().facts(device)

    app = FastAPI()
    app.include_router(router(admin.policies, admin.keyring, world=World()))
    headers = {"authorization": f"Bearer {admin.keys.operator}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a", headers=headers) as client:
        found = await client.post(f"{URL}/dry-run", json={"messages": [{"role": "user", "content": "hi"}]})
    assert found.status_code == 200


def decided(complexity: float, mode: str, at_s: int, digest: str = "old") -> Decided:
    return Decided(
        stream_id=new_id(now=lambda: NOON.timestamp() + at_s),
        at=NOON + timedelta(seconds=at_s),
        tenant="acme",
        key_id="k",
        origin="control_plane",
        facts={"request.complexity": complexity, "request.sensitivity": "public", "request.origin": "control_plane"},
        mode=mode,
        rule="only",
        reason="because",
        policy_digest=digest,
    )


async def test_a_replay_counts_what_a_draft_would_change(admin: Admin) -> None:
    events = [decided(0.1, "edge", 1), decided(0.2, "race", 2), decided(0.9, "race", 3), decided(0.8, "race", 4)]
    for event in events:
        admin.recorder.decided(event)
    found = (await admin.client.post(f"{URL}/replay", json={"text": small("draft")})).json()
    assert (found["decisions"], found["unchanged"], found["errors"]) == (4, 1, 0)
    assert found["modes"] == {"edge": 2, "cloud": 2}
    costs = [(change.pop("cost"), change.pop("expected_cost")) for change in found["changes"]]
    assert [*costs, (found["cost"], found["expected_cost"])] == [(None, None)] * 3
    assert found["changes"] == [
        {"recorded": "race", "replayed": "cloud", "count": 2, "examples": [events[3].stream_id, events[2].stream_id]},
        {"recorded": "race", "replayed": "edge", "count": 1, "examples": [events[1].stream_id]},
    ]
    newest = (await admin.client.post(f"{URL}/replay", json={"text": small("draft"), "last": 2})).json()
    assert newest["decisions"] == 2
    nobody = (await admin.client.post(f"{URL}/replay", json={"tenant": "else"})).json()
    assert (nobody["decisions"], nobody["changes"]) == (0, [])


async def test_a_replay_counts_other_terms_where_they_were_recorded(admin: Admin) -> None:
    """The draft asks nothing beside its modes: of those that keep theirs, one was recorded with a budget."""
    budget = {"max_tokens": 9}
    for at_s, (mode, terms) in enumerate((("edge", None), ("edge", {}), ("edge", budget), ("race", budget))):
        admin.recorder.decided(msgspec.structs.replace(decided(0.1, mode, at_s), terms=terms))
    found = (await admin.client.post(f"{URL}/replay", json={"text": small("draft")})).json()
    assert (found["decisions"], found["unchanged"], found["other_terms"]) == (4, 3, 1)


async def test_decisions_that_cannot_be_repeated_are_counted(admin: Admin) -> None:
    active = admin.policies.active
    repeated = active.decide(decided(0.1, "", 1).facts).mode
    admin.recorder.decided(decided(0.1, "refuse", 1, active.digest))
    admin.recorder.decided(decided(0.1, str(repeated), 2, active.digest))
    found = (await admin.client.post(f"{URL}/replay", json={})).json()
    assert found["unfaithful"] == 1


async def test_saving_and_activating_honours_the_expected_digest_in_one_transaction(admin: Admin) -> None:
    body = {"text": small("two"), "activate": True, "expected_digest": "0" * 64}
    refused = await admin.client.post(URL, json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert len((await admin.client.get(URL)).json()["items"]) == 1
    body["expected_digest"] = admin.policies.current.digest
    made = await admin.client.post(URL, json=body)
    assert (made.status_code, made.json()["active"]) == (201, True)
    untested = {"text": small("three") + WRONG_TEST, "activate": True}
    assert (await admin.client.post(URL, json=untested)).status_code == 422
    assert len((await admin.client.get(URL)).json()["items"]) == 2
    actions = [entry.action for entry in await admin.audit.page()]
    assert actions[:2] == ["policy.activate", "policy.create"]
