"""/admin/v1/jobs for operators, /internal/v1/jobs for nodes: real routers over a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from control_plane.jobs.endpoints import internal_router, router
from control_plane.jobs.job import NewJob
from control_plane.jobs.nodes import NodeJobs
from control_plane.jobs.service import Jobs
from tests.control_plane.jobs.making import FORGE_WORK, NODE_WORK, REGISTRY, WORK, Made, make
from tests.factories.admin import Admin

URL, NODE_URL = "/admin/v1/jobs", "/internal/v1/jobs"


@dataclass
class Api:
    made: Made
    admin: Admin
    operator: httpx.AsyncClient
    node: httpx.AsyncClient

    async def dead(self) -> str:
        """A job that failed."""
        job_id = await self.made.queue.enqueue(NewJob(kind="work", key="dead"))
        job = await self.made.leases.claim(job_id, "work", "me")
        assert job is not None
        await self.made.leases.fail(job, "no", retry=False)
        return job_id

    async def claimed(self) -> dict[str, object]:
        await self.made.queue.enqueue(NewJob(kind="node_work", key="a", payload={"n": 1}))
        found: dict[str, object] = (
            await self.node.post(f"{NODE_URL}/claim", json={"kinds": ["node_work"], "holder": "w"})
        ).json()
        return found


@pytest.fixture
async def api(admin: Admin) -> AsyncIterator[Api]:
    made = make(admin.database)
    admin.app.include_router(router(Jobs(admin.database, made.queue, admin.audit, now=made.now), admin.keyring))
    admin.app.include_router(internal_router(NodeJobs(admin.database, REGISTRY, made.leases), admin.keyring))
    async with admin.using(admin.keys.node) as node:
        yield Api(made, admin, admin.client, node)


async def test_a_job_from_the_request_to_its_result(api: Api) -> None:
    body = {"kind": "work", "payload": {"n": 1}, "key": "once"}
    made = await api.operator.post(URL, json=body)
    assert made.status_code == 201
    job_id = made.json()["id"]
    assert (await api.operator.post(URL, json=body)).json()["id"] == job_id
    assert api.made.calls.woken == [job_id]
    job = await api.made.leases.claim(job_id, "work", "me")
    assert job is not None
    await api.made.leases.complete(job, {"n": 2})
    shown = (await api.operator.get(f"{URL}/{job_id}")).json()
    assert (shown["state"], shown["progress"], shown["result"], shown["payload"]) == ("done", 1.0, {"n": 2}, {"n": 1})
    audit = (await api.operator.get("/admin/v1/audit", params={"action": "job.run"})).json()["items"]
    assert {entry["target"] for entry in audit} == {f"job/{job_id}"}


async def test_filters_and_pages(api: Api) -> None:
    dead = await api.dead()
    ids = [await api.made.queue.enqueue(NewJob(kind="work", key=str(n))) for n in range(3)]
    first = (await api.operator.get(URL, params={"limit": 2, "state": "queued"})).json()
    second = (await api.operator.get(URL, params={"limit": 2, "state": "queued", "after": first["next"]})).json()
    assert {job["id"] for job in first["items"] + second["items"]} == set(ids)
    assert second["next"] is None
    assert [job["id"] for job in (await api.operator.get(URL, params={"state": "failed"})).json()["items"]] == [dead]
    assert (await api.operator.get(URL, params={"kind": "nothing"})).json()["items"] == []
    assert (await api.operator.get(URL, params={"state": "asleep"})).status_code == 422


async def test_cancelling_ends_a_job_and_fences_who_works_on_it(api: Api) -> None:
    job_id = (await api.operator.post(URL, json={"kind": "work"})).json()["id"]
    job = await api.made.leases.claim(job_id, "work", "me")
    assert job is not None
    ended = (await api.operator.post(f"{URL}/{job_id}/cancel")).json()
    assert ended["state"] == "failed"
    assert ended["error"].startswith("cancelled by ")
    with pytest.raises(Exception, match="over"):
        await api.made.leases.complete(job, None)
    again = await api.operator.post(f"{URL}/{job_id}/cancel")
    assert again.status_code == 409
    entries = (await api.operator.get("/admin/v1/audit", params={"action": "job.cancel"})).json()["items"]
    assert [(entry["target"], entry["before"]) for entry in entries] == [(f"job/{job_id}", "running")]


async def test_a_dead_job_is_retried_unless_another_does_its_work(api: Api) -> None:
    job_id = await api.dead()
    twin = await api.made.queue.enqueue(NewJob(kind="work", key="dead"))
    assert (await api.operator.post(f"{URL}/{job_id}/retry")).status_code == 409
    await api.operator.post(f"{URL}/{twin}/cancel")
    revived = (await api.operator.post(f"{URL}/{job_id}/retry")).json()
    assert (revived["state"], revived["attempt"], revived["error"]) == ("queued", 0, None)
    assert await api.made.leases.claim(job_id, "work", "me") is not None
    assert (await api.operator.post(f"{URL}/{job_id}/retry")).status_code == 409


async def test_what_is_not_there_or_not_allowed_is_told(api: Api) -> None:
    for path in ("x", "0" * 26):
        assert (await api.operator.get(f"{URL}/{path}")).status_code == 404
        assert (await api.operator.post(f"{URL}/{path}/cancel")).status_code == 404
    unknown = await api.operator.post(URL, json={"kind": "unheard"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "job_kind_unknown")
    assert (await api.node.get(URL)).status_code == 403
    assert (
        await api.operator.post(f"{NODE_URL}/claim", json={"kinds": ["node_work"], "holder": "w"})
    ).status_code == 403


async def test_a_node_s_work_from_the_claim_to_the_end(api: Api) -> None:
    job = await api.claimed()
    assert (job["kind"], job["payload"], job["epoch"], job["lease_s"]) == ("node_work", {"n": 1}, 1, NODE_WORK.lease_s)
    one = f"{NODE_URL}/{job['id']}"
    none = await api.node.post(f"{NODE_URL}/claim", json={"kinds": ["node_work"], "holder": "w"})
    assert none.status_code == 204
    beat = await api.node.post(f"{one}/heartbeat", json={"epoch": 1, "progress": 0.5, "message": "半"})
    assert beat.status_code == 200
    shown = (await api.operator.get(f"{URL}/{job['id']}")).json()
    assert (shown["progress"], shown["progress_message"]) == (0.5, "半")
    done = await api.node.post(f"{one}/complete", json={"epoch": 1, "result": {"ok": True}})
    assert done.json() == {"state": "done"}
    late = await api.node.post(f"{one}/heartbeat", json={"epoch": 1})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "job_fenced")


async def test_a_node_that_lost_its_lease_is_fenced(api: Api) -> None:
    job = await api.claimed()
    one = f"{NODE_URL}/{job['id']}"
    api.made.now.advance(NODE_WORK.lease_s + 1)
    second = (await api.node.post(f"{NODE_URL}/claim", json={"kinds": ["node_work"], "holder": "v"})).json()
    assert second["epoch"] == 2
    for path, body in (("heartbeat", {}), ("complete", {}), ("fail", {"error": "no"})):
        late = await api.node.post(f"{one}/{path}", json={"epoch": 1, **body})
        assert (late.status_code, late.json()["error"]["code"]) == (409, "job_fenced")
    failed = await api.node.post(f"{one}/fail", json={"epoch": 2, "error": "no disk", "retry": False})
    assert failed.json() == {"state": "failed"}


async def test_a_node_sees_only_what_is_meant_for_nodes_and_what_its_own_key_claimed(api: Api) -> None:
    refused = await api.node.post(f"{NODE_URL}/claim", json={"kinds": ["work"], "holder": "w"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "job_kind_unknown")
    ours = await api.made.queue.enqueue(NewJob(kind="work", key="a"))
    await api.made.leases.claim(ours, WORK.name, "me")
    assert (await api.node.post(f"{NODE_URL}/{ours}/complete", json={"epoch": 1})).status_code == 404
    job = await api.claimed()
    key = (await api.operator.post("/admin/v1/keys", json={"name": "other", "roles": ["node"]})).json()["key"]
    async with api.admin.using(key) as other:
        stolen = await other.post(f"{NODE_URL}/{job['id']}/complete", json={"epoch": 1})
    assert (stolen.status_code, stolen.json()["error"]["code"]) == (409, "job_fenced")


async def test_an_idempotency_key_gets_the_first_job_even_when_it_has_ended(api: Api) -> None:
    body = {"kind": "work", "payload": {"n": 1}}
    once = {"idempotency-key": "3f1c"}
    first = (await api.operator.post(URL, json=body, headers=once)).json()
    job = await api.made.leases.claim(first["id"], "work", "me")
    assert job is not None
    await api.made.leases.complete(job, None)
    again = await api.operator.post(URL, json=body, headers=once)
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (201, first["id"], "done")
    other = await api.operator.post(URL, json={"kind": "work", "payload": {"n": 2}}, headers=once)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert (await api.operator.post(URL, json=body)).json()["id"] != first["id"]
    audit = (await api.operator.get("/admin/v1/audit", params={"action": "job.run"})).json()["items"]
    assert [entry["target"] for entry in audit].count(f"job/{first['id']}") == 1


@pytest.mark.parametrize("key", ["", "x" * 121, "with space"])
async def test_an_idempotency_key_that_is_none_is_refused(api: Api, key: str) -> None:
    refused = await api.operator.post(URL, json={"kind": "work"}, headers={"idempotency-key": key})
    assert refused.status_code == 422


async def test_a_job_has_a_key_or_an_idempotency_key(api: Api) -> None:
    body, once = {"kind": "work", "key": "a"}, {"idempotency-key": "3f1c"}
    assert (await api.operator.post(URL, json=body, headers=once)).status_code == 400


@pytest.mark.parametrize("payload", [{}, {"n": "x"}, {"n": 1, "more": 2}])
async def test_a_payload_that_does_not_fit_its_kind_makes_no_row(api: Api, payload: dict[str, object]) -> None:
    refused = await api.operator.post(URL, json={"kind": "forge_work", "payload": payload})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "job_payload_invalid")
    assert (await api.operator.get(URL)).json()["items"] == []


async def test_a_kind_that_needs_a_capability_is_claimed_by_those_that_offer_it(api: Api) -> None:
    body = {"kind": "forge_work", "payload": {"n": 1}}
    job_id = (await api.operator.post(URL, json=body)).json()["id"]
    wanted = {"kinds": ["forge_work"], "holder": "w"}
    refused = await api.node.post(f"{NODE_URL}/claim", json=wanted)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "job_capability_missing")
    claimed = (await api.node.post(f"{NODE_URL}/claim", json=wanted | {"offers": ["forge"]})).json()
    assert (claimed["id"], claimed["time_limit_s"]) == (job_id, FORGE_WORK.time_limit_s)


async def test_a_job_that_is_given_back_is_free_at_once_and_the_attempt_does_not_count(api: Api) -> None:
    claimed = await api.claimed()
    path = f"{NODE_URL}/{claimed['id']}/give-back"
    given = await api.node.post(path, json={"epoch": claimed["epoch"]})
    assert given.json() == {"state": "queued"}
    assert (await api.node.post(path, json={"epoch": claimed["epoch"]})).status_code == 409
    again = await api.node.post(f"{NODE_URL}/claim", json={"kinds": ["node_work"], "holder": "w"})
    assert (again.json()["attempt"], again.json()["epoch"]) == (1, 2)


@pytest.mark.parametrize(
    "value", [b"NaN", b"1e999", b'"\\ud800"', b'"\\u0000"', b"[" * 60 + b"]" * 60, b'{"\\ud800": 1}']
)
async def test_what_no_database_holds_is_refused_before_there_is_a_row(api: Api, value: bytes) -> None:
    headers = {"content-type": "application/json"}
    raw = b'{"kind": "work", "payload": {"a": ' + value + b"}}"
    assert (await api.operator.post(URL, content=raw, headers=headers)).status_code == 422
    job = await api.claimed()
    raw = b'{"epoch": 1, "result": {"a": ' + value + b"}}"
    done = await api.node.post(f"{NODE_URL}/{job['id']}/complete", content=raw, headers=headers)
    assert done.status_code == 422
    assert (await api.operator.get(URL)).status_code == 200
