"""Every route that changes something says under which action the audit log has it, and the log does have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_plane.admin_api import AUDIT_ACTION
from tests.factories.control import Control, own_log_server, running_control, with_nodes

OURS = "/admin/v1/"


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    with own_log_server() as log_url:
        async with running_control(tmp_path, log_url) as running, with_nodes(running):
            yield running


def changing(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(method, path, operation) of every operation that may change something for operators."""
    return [
        (method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "get" and path.startswith(OURS)
    ]


async def test_every_changing_route_declares_its_audit_action(control: Control) -> None:
    async with control.client() as client:
        document = (await client.get("/openapi.json")).json()
    undeclared = [f"{method} {path}" for method, path, each in changing(document) if AUDIT_ACTION not in each]
    assert undeclared == []


async def changes(client: httpx.AsyncClient, manifest: dict[str, Any], version_id: str) -> list[httpx.Response]:
    """One good call of every changing route of policies, models, nodes and keys."""
    text = (await client.get("/admin/v1/policies/active/text")).text
    made = await client.post("/admin/v1/keys", json={"name": "tablet", "roles": ["app"]})
    key_id = made.json()["id"]
    body = {"name": "tiny-edge", "tier": "edge"}
    renamed = manifest | {"recipe": "another"}
    return [
        made,
        await client.post(f"/admin/v1/keys/{key_id}/rotate", json={"overlap_s": 60}),
        await client.delete(f"/admin/v1/keys/{key_id}"),
        await client.post("/admin/v1/policies", json={"text": text, "activate": True}),
        await client.post("/admin/v1/policies/1/activate"),
        await client.post("/admin/v1/policies/rollback"),
        *await rollout_changes(client, text),
        await client.post("/admin/v1/models", json=renamed),
        await client.post(f"/admin/v1/models/{version_id}/activate"),
        await client.post(f"/admin/v1/models/{version_id}/activate", json={"required": True}),
        await client.post("/admin/v1/models/rollback", json=body),
        await client.post("/admin/v1/models/deactivate", json=body),
        await client.put("/admin/v1/nodes/edge-0/labels", json={"labels": {"room": "a"}}),
        await client.post("/admin/v1/nodes/edge-0/drain"),
        await client.delete("/admin/v1/nodes/edge-0/drain"),
        await client.delete("/admin/v1/nodes/edge-0?force=true"),
    ]


async def rollout_changes(client: httpx.AsyncClient, text: str) -> list[httpx.Response]:
    """One good call of every changing route of policy rollouts."""
    saved = await client.post("/admin/v1/policies", json={"text": text.replace("name: seed", "name: seed-2", 1)})
    stages = "[{mode: shadow, for: 1h}, {mode: enforce, percent: 100}]"
    plan = (
        "{apiVersion: edgewise/v1, kind: PolicyRollout, metadata: {name: r}, spec: "
        f"{{policy: seed-2@{saved.json()['version']}, stages: {stages}, approvals: {{count: 1, selfApprove: true}}}}}}"
    )
    made = await client.post("/admin/v1/policy-rollouts", json={"text": plan})
    place = f"/admin/v1/policy-rollouts/{made.json()['id']}"
    answers = [saved, made, await client.post(f"{place}/approve")]
    while (await client.get(place)).json()["position"] != "running":
        await asyncio.sleep(0.05)
    return answers + [await client.post(f"{place}/{word}") for word in ("hold", "resume", "roll-back")]


ACTIONS = {
    "key.create", "key.rotate", "key.revoke", "policy.create", "policy.activate", "policy.rollback", "model.register",
    "model.activate", "model.rollback", "model.deactivate", "node.labels", "node.drain", "node.undrain", "node.forget",
    "stream.cancel", "stream.read_text", "policy_rollout.create", "policy_rollout.approve", "policy_rollout.hold",
    "policy_rollout.resume", "policy_rollout.rollback",
}  # fmt: skip


async def test_what_is_declared_is_in_the_log_with_who_and_from_where_and_no_secret(control: Control) -> None:
    import msgspec

    manifest = control.manifests["edge"]
    async with control.client() as client:
        answers = await changes(client, msgspec.to_builtins(manifest), manifest.id)
        asked = {"model": "edgewise", "messages": [{"role": "user", "content": "a secret wish"}]}
        said = await client.post("/v1/chat/completions", json=asked)
        sid = said.headers["x-edgewise-stream-id"]
        read = await client.get(f"/admin/v1/streams/{sid}", params={"include_text": True})
        assert [answer.status_code for answer in [*answers, said, read] if answer.is_error] == []
        log = (await client.get("/admin/v1/audit", params={"limit": 200})).json()["items"]
        document = (await client.get("/openapi.json")).json()
    declared = {each[AUDIT_ACTION] for _, _, each in changing(document)} - {"none"}
    mine = {entry["action"] for entry in log if entry["actor"] != "system"}
    assert ACTIONS - {"stream.cancel"} <= mine
    assert declared >= ACTIONS - {"stream.read_text"}
    for entry in log:
        assert entry["address"] == ("127.0.0.1" if entry["actor"] != "system" else None), entry
        assert entry["target"]
    secrets = [answers[0].json()["key"], answers[1].json()["key"], "a secret wish", *vars_of(control)]
    assert not [secret for secret in secrets if secret in str(log)]


def vars_of(control: Control) -> list[str]:
    return [control.keys.operator, control.keys.app, control.keys.node]
