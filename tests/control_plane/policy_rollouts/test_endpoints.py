"""/admin/v1/policy-rollouts: what operators send, what they are shown, and in which form it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from policies.rollout import applied
from tests.control_plane.policy_rollouts.worlds import NEW, OLD, STAGES, document, ended, facts
from tests.factories.admin import Admin

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
BASE = "/admin/v1/policy-rollouts"


async def saved(admin: Admin) -> None:
    """`old` is version 2 and in force, `new` is version 3."""
    await admin.policies.create_and_activate(OLD, actor="ada")
    await admin.policies.create(NEW, actor="ada")


async def begun(admin: Admin, **spec: Any) -> dict[str, Any]:
    """A rollout in its first stage."""
    await saved(admin)
    made = await admin.client.post(BASE, json={"text": document(**spec)})
    assert made.status_code == 201, made.text
    await admin.rollouts.tick()
    return await shown(admin)


async def shown(admin: Admin, number: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = (await admin.client.get(f"{BASE}/{number}")).json()
    return found


async def test_one_rollout_with_all_that_is_known(admin: Admin) -> None:
    view = await begun(admin, gates={"decisionChange": "<= 99%", "errors": "<= 5%"}, atLeast=20, onBreach="hold")
    assert (view["position"], view["stage"], view["open"], view["by"]) == ("running", 1, True, "device.id")
    assert [stage["state"] for stage in view["stages"]] == ["now", "ahead", "ahead"]
    assert view["waits_for"] == "stage 1 of 3 lasts another 3600 s"
    staged = admin.rollouts.director.staged
    assert staged is not None and applied(staged.plan, staged.state, "tablet-1").shadow
    for _ in range(12):
        staged.decide(facts())
    await admin.rollouts.tick()
    view = await shown(admin)
    change, errors = view["gates"]
    assert (change["found"], change["seen"], change["needed"], change["due"]) == ("12 of 12 (100 %)", 12, 20, True)
    assert (errors["found"], errors["due"], errors["breached"]) == ("none", False, False)
    assert 0.0 <= change["evidence"] < 1.0
    assert view["tally"]["modes"] == [{"old": "edge", "candidate": "race", "count": 12}]
    assert view["tally"]["newly_leaving"] == 12
    assert [each["action"] for each in view["timeline"]] == ["policy_rollout.create", "policy_rollout.move"]
    assert view["approvals"] == {"needed": 0, "by": [], "self_approve": False}


async def test_people_move_it_and_the_list_shows_where_it_stands(admin: Admin) -> None:
    await begun(admin)
    assert (await admin.client.post(f"{BASE}/1/hold", json={"why": "lunch"})).json()["position"] == "on-hold"
    held = await shown(admin)
    assert held["reason"].endswith(": lunch") and held["waits_for"].startswith("a person")
    assert (await admin.client.post(f"{BASE}/1/resume")).json()["position"] == "running"
    again = await admin.client.post(f"{BASE}/1/approve")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    ended_ = (await admin.client.post(f"{BASE}/1/roll-back", json={"why": "enough"})).json()
    assert (ended_["position"], ended_["open"], ended_["stage"]) == ("rolled-back", False, None)
    await admin.client.post(BASE, json={"text": document()})
    page = (await admin.client.get(BASE, params={"limit": 1})).json()
    assert [item["id"] for item in page["items"]] == [2] and page["next"] == 2
    assert [item["id"] for item in (await admin.client.get(BASE, params={"after": 2})).json()["items"]] == [1]


async def test_a_breached_gate_is_shown_as_it_was(admin: Admin) -> None:
    await begun(admin, stages=STAGES[1:], gates={"errors": "<= 5%"}, salt="s")
    director = admin.rollouts.director
    assert director.staged is not None
    for number in range(200):
        director.decided(str(number), director.staged.decide(facts(f"tablet-{number}")))
        director.finished(str(number), ended("error"))
    await admin.rollouts.tick()
    view = await shown(admin)
    assert (view["position"], view["gates"][0]["breached"], view["gates"][0]["evidence"]) == ("rolled-back", True, 1.0)
    assert view["reason"].startswith("errors: ") and view["waits_for"] == ""


async def test_own_approval_and_yaml(admin: Admin) -> None:
    await saved(admin)
    plan = (
        "apiVersion: edgewise/v1\nkind: PolicyRollout\nmetadata: {name: r}\nspec:\n  policy: new@3\n"
        "  approvals: {count: 1}\n  stages: [{mode: enforce, percent: 100}]\n"
    )
    made = await admin.client.post(BASE, content=plan.encode(), headers={"content-type": "text/yaml"})
    assert made.json()["waits_for"] == "1 more approvals" and made.json()["gates"] == []
    own = await admin.client.post(f"{BASE}/1/approve")
    assert (own.status_code, own.json()["error"]["code"]) == (403, "forbidden")


async def test_what_is_wrong_is_told_with_its_place(admin: Admin) -> None:
    wrong = await admin.client.post(BASE, json={"text": document(gates={"decisionChanges": "<= 8%"})})
    assert wrong.status_code == 422
    assert "decisionChange" in wrong.json()["problems"][0]["suggestion"]
    assert (await admin.client.post(BASE, json={"plan": "x"})).status_code == 400
    for path in ("/9", "/9/hold"):
        answer = await admin.client.request("POST" if "hold" in path else "GET", BASE + path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    async with admin.using(admin.keys.app) as app:
        assert (await app.get(BASE)).status_code == 403
        assert (await app.post(f"{BASE}/1/roll-back")).status_code == 403


async def test_while_one_is_open_policies_are_not_changed(admin: Admin) -> None:
    await begun(admin)
    refused = await admin.client.post("/admin/v1/policies/1/activate")
    assert refused.status_code == 409 and "rollout roll-back 1" in refused.json()["error"]["remedy"]
    assert (await admin.client.post("/admin/v1/policies/rollback")).status_code == 409
    kept = await admin.client.post("/admin/v1/policies", json={"text": OLD.replace("name: old", "name: next")})
    assert kept.status_code == 201
