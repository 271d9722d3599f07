"""/admin/v1/nodes over HTTP, on a registry's snapshot: who is connected, never with which key."""

from __future__ import annotations

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from control_plane.accounts.keyring import KeyRing, LiveKey, Principal
from control_plane.accounts.keys import Role, key_digest, new_key
from control_plane.nodes.endpoints import router
from control_plane.nodes.views import NodeView
from edgewise.dialects.openai_errors import error_body
from edgewise.wire.errors import EdgewiseError, ModelDigestError
from edgewise.wire.frames import LoadReport, ModelOffer, NodeKind, PolicyStatus

URL = "/admin/v1/nodes"


def node(node_id: str, kind: NodeKind, policy: PolicyStatus | None = None) -> NodeView:
    return NodeView(
        node_id=node_id,
        kind=kind,
        connection_epoch=3,
        connected_s=12.5,
        heartbeat_age_s=0.5,
        agent_version="0.1.0",
        key_id="key-1",
        tenant="default",
        labels={"shared": "true"},
        capabilities=("generate",),
        models=(ModelOffer(name="tiny", version="v1", context_tokens=512),),
        load=LoadReport(running=1, slots=4, tokens_per_s=20.5),
        open_attempts=1,
        facts={"device.battery_pct": 80.0, "device.present": True},
        policy=policy,
    )


class Snapshot:
    """Two nodes, as the registry would show them."""

    def snapshot(self) -> list[NodeView]:
        error = ModelDigestError("too new").info()
        refused = PolicyStatus(
            digest="abc", applied=False, version=7, policy_version=2, refusal="unknown-profile", error=error
        )
        return [node("phone-7", "edge", refused), node("worker-0", "cloud")]


def client(role: Role = "operator") -> httpx.AsyncClient:
    ring, key, app = KeyRing(), new_key(), FastAPI()
    ring.add(LiveKey(key_digest(key), Principal("k", "default", "standard", frozenset({role}))))
    app.include_router(router(Snapshot(), ring))

    @app.exception_handler(EdgewiseError)
    async def typed(_request: Request, error: EdgewiseError) -> JSONResponse:
        return JSONResponse(error_body(error.info()), error.http_status)

    headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://admin", headers=headers)


async def test_every_connected_node_is_listed() -> None:
    async with client() as operator:
        items = (await operator.get(URL)).json()["items"]
        clouds = (await operator.get(URL, params={"kind": "cloud"})).json()["items"]
    assert [item["node_id"] for item in items] == ["phone-7", "worker-0"]
    assert [item["node_id"] for item in clouds] == ["worker-0"]


async def test_one_node_shows_models_load_facts_and_why_it_refused_the_policy() -> None:
    async with client() as operator:
        found = (await operator.get(f"{URL}/phone-7")).json()
    assert found["models"][0] | {"name": "tiny", "version": "v1", "context_tokens": 512} == found["models"][0]
    assert found["load"] == {"running": 1, "queued": 0, "slots": 4, "tokens_per_s": 20.5}
    assert found["facts"] == {"device.battery_pct": 80.0, "device.present": True}
    told = {"digest": "abc", "version": 7, "policy_version": 2, "applied": False}
    assert found["policy"] == told | {"refusal": "unknown-profile", "error": "too new"}


async def test_a_node_that_is_not_connected_is_not_found() -> None:
    async with client() as operator:
        answer = await operator.get(f"{URL}/nobody")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_only_operators_see_the_fleet() -> None:
    async with client("app") as app:
        assert (await app.get(URL)).status_code == 403
        assert (await app.get(f"{URL}/phone-7")).status_code == 403
