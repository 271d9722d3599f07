"""/admin/v1/audit: every change is there, in order, with who and what."""

from __future__ import annotations

from tests.control_plane.policy_admin.test_service import small
from tests.factories.admin import Admin

URL = "/admin/v1/audit"


async def test_each_change_leaves_one_entry(admin: Admin) -> None:
    me = admin.keyring.authenticate(admin.keys.operator).key_id
    key_id = (await admin.client.post("/admin/v1/keys", json={"name": "x", "roles": ["app"]})).json()["id"]
    await admin.client.delete(f"/admin/v1/keys/{key_id}")
    await admin.client.post("/admin/v1/policies", json={"text": small("two"), "activate": True})
    await admin.client.post("/admin/v1/policies/rollback")
    entries = (await admin.client.get(URL)).json()["items"]
    assert [(entry["actor"], entry["action"], entry["target"]) for entry in entries][:5] == [
        (me, "policy.rollback", "policy/1"),
        (me, "policy.activate", "policy/2"),
        (me, "policy.create", "policy/2"),
        (me, "key.revoke", key_id),
        (me, "key.create", key_id),
    ]
    assert entries[0]["before"] == entries[1]["after"]
    assert {entry["actor"] for entry in entries[5:]} == {"system"}


async def test_filters_and_pages(admin: Admin) -> None:
    first = (await admin.client.get(URL, params={"limit": 3})).json()
    second = (await admin.client.get(URL, params={"limit": 3, "after": first["next"]})).json()
    ids = [entry["id"] for entry in first["items"] + second["items"]]
    assert ids == [4, 3, 2, 1]
    assert second["next"] is None
    created = (await admin.client.get(URL, params={"action": "key.create"})).json()["items"]
    assert len(created) == 3
    assert (await admin.client.get(URL, params={"target": "policy/1"})).json()["items"][0][
        "action"
    ] == "policy.activate"


async def test_a_malformed_cursor_is_refused(admin: Admin) -> None:
    for after in ("0", "-1", "x", "99999999999999999999"):
        assert (await admin.client.get(URL, params={"after": after})).status_code == 422, after
