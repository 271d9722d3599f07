"""/admin/v1/keys over HTTP: only operators, the key once, pages, and malformed input."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.factories.admin import Admin

URL = "/admin/v1/keys"
FUZZ = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("name", "roles", "tenant", "user_tier", "device", "expires_at")


async def test_a_key_is_shown_once_and_never_again(admin: Admin, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = await admin.client.post(URL, json={"name": "tablet", "roles": ["node"], "device": "tablet-1"})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    key, key_id = made.json()["key"], made.json()["id"]
    assert admin.keyring.authenticate(key).device == "tablet-1"
    later = await admin.client.get(URL)
    audit = await admin.client.get("/admin/v1/audit")
    revoked = await admin.client.delete(f"{URL}/{key_id}")
    for text in (later.text, audit.text, revoked.text, caplog.text):
        assert key not in text
        assert key[9:] not in text
    assert later.json()["items"][0]["prefix"] == key[:9]
    assert revoked.json()["revoked_at"] is not None
    assert not admin.keyring.is_live(key_id)


@pytest.mark.parametrize("role", ["app", "node", "nobody"])
async def test_only_operators_administer(admin: Admin, role: str) -> None:
    key = getattr(admin.keys, role, "ek_" + "x" * 43)
    expected = (401, "invalid_api_key") if role == "nobody" else (403, "forbidden")
    async with admin.using(key) as client:
        for path, operations in admin.app.openapi()["paths"].items():
            for method in operations:
                answer = await client.request(method, path.replace("{version}", "1"), json={})
                assert (answer.status_code, answer.json()["error"]["code"]) == expected, (method, path)


async def test_every_admin_operation_names_the_key_in_openapi(admin: Admin) -> None:
    """A route that forgot its dependency would have no security requirement."""
    paths = admin.app.openapi()["paths"]
    assert len(paths) >= 14
    for path, operations in paths.items():
        assert path.startswith("/admin/v1/")
        for operation in operations.values():
            assert operation.get("security") == [{"HTTPBearer": []}], path


async def test_pages_follow_each_other_without_gap_or_double(admin: Admin) -> None:
    for number in range(5):
        await admin.client.post(URL, json={"name": f"key {number}", "roles": ["app"], "tenant": "acme"})
    seen: list[str] = []
    after: str | None = None
    for _ in range(4):
        query = {"limit": "2", "tenant": "acme"} | ({"after": after} if after else {})
        page = (await admin.client.get(URL, params=query)).json()
        seen += [item["id"] for item in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)


WRONG: list[dict[str, object]] = [
    {"roles": []},
    {"roles": ["root"]},
    {"name": ""},
    {"name": "two\nlines"},
    {"name": "nul\0"},
    {"tenant": "a b"},
    {"tenant": "x" * 65},
    {"user_tier": "gold"},
    {"device": "../etc"},
    {"expires_at": "2026-01-01T00:00:00"},
    {"expires_at": "9999-12-31T23:59:59-12:00"},
    {"surprise": 1},
]


async def test_a_wrong_field_is_refused(admin: Admin) -> None:
    for change in WRONG:
        answer = await admin.client.post(URL, json={"name": "x", "roles": ["app"]} | change)
        assert answer.status_code == 422, change
        assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_nobody_can_send_a_body_without_end(admin: Admin) -> None:
    async with admin.using("nobody") as client:
        answer = await client.post(URL, content=b" " * 3 * 1024 * 1024, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


@FUZZ
@given(body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
async def test_no_body_breaks_it(admin: Admin, body: bytes) -> None:
    answer = await admin.client.post(URL, content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500


@FUZZ
@given(fields=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)))
async def test_no_field_breaks_it(admin: Admin, fields: dict[str, object]) -> None:
    answer = await admin.client.post(URL, content=json.dumps({"name": "x", "roles": ["app"]} | fields))
    assert answer.status_code in {201, 422}


@FUZZ
@given(after=st.text(max_size=70), limit=st.integers() | st.text(max_size=5), tenant=st.text(max_size=70))
async def test_no_query_breaks_it(admin: Admin, after: str, limit: int | str, tenant: str) -> None:
    clean = {"after": after, "limit": str(limit), "tenant": tenant}
    answer = await admin.client.get(URL, params={n: v.encode(errors="replace").decode() for n, v in clean.items()})
    assert answer.status_code in {200, 400, 422}
