"""/admin/v1/decisions over HTTP: filters, pages, one by its completion id, and malformed queries."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.decisions.service import Decisions
from edgewise.ids import new_id
from tests.control_plane.decisions.events import decided, finished, sid
from tests.factories.admin import NOON, Admin

URL = "/admin/v1/decisions"
FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


async def numbers(admin: Admin, **query: str) -> list[int]:
    answer = await admin.client.get(URL, params=query)
    assert answer.status_code == 200, answer.text
    return [int(item["stream_id"]) for item in answer.json()["items"]]


async def test_an_answer_that_just_ended_is_seen_with_why_and_how(admin: Admin) -> None:
    admin.recorder.decided(decided(1))
    admin.recorder.finished(finished(1))
    one = (await admin.client.get(f"{URL}/chatcmpl-{sid(1)}")).json()
    assert one == (await admin.client.get(f"{URL}/{sid(1)}")).json()
    assert (one["mode"], one["rule"], one["reason"]) == ("race", "default", "nothing else matched")
    assert one["facts"]["request.language"] == "zh"
    assert one["terms"] == {"max_tokens": 64, "timeouts": {"total_s": 30.0}}
    assert (one["status"], one["waste_tokens"], one["last_tier"]) == ("done", 5, "cloud:worker-0")


async def test_no_terms_and_none_recorded_are_told_apart(admin: Admin) -> None:
    admin.recorder.decided(decided(1, terms={}))
    admin.recorder.decided(decided(2, terms=None))
    answer = await admin.client.get(URL)
    assert [item["terms"] for item in answer.json()["items"]] == [None, {}]
    decisions = Decisions(admin.database, admin.recorder)
    pages = [row async for page in decisions.recorded(None, None, 10) for row in page]
    assert [row.terms for row in pages] == [None, "{}"]


async def test_filters(admin: Admin) -> None:
    admin.recorder.decided(decided(1))
    admin.recorder.decided(decided(2, rule="sensitive", tier="edge:tablet"))
    admin.recorder.decided(decided(3, tenant="other"))
    admin.recorder.finished(finished(3))
    assert await numbers(admin) == [3, 2, 1]
    assert await numbers(admin, rule="sensitive") == [2]
    assert await numbers(admin, tier="edge:tablet") == [2]
    assert await numbers(admin, tier="cloud:worker-0") == [3]
    assert await numbers(admin, tenant="acme") == [2, 1]
    assert await numbers(admin, status="running") == [2, 1]
    assert await numbers(admin, status="done") == [3]
    assert await numbers(admin, origin="device") == []
    assert await numbers(admin, stream=f"chatcmpl-{sid(2)}") == [2]
    assert await numbers(admin, since=(NOON + timedelta(seconds=2)).isoformat()) == [3, 2]
    assert await numbers(admin, until=(NOON + timedelta(seconds=2)).isoformat()) == [1]
    assert await numbers(admin, since="2026-05-04T20:00:03+08:00") == [3]


@FUZZ
@given(count=st.integers(min_value=0, max_value=9), limit=st.integers(min_value=1, max_value=4))
async def test_pages_hold_everything_once_even_while_more_arrives(admin: Admin, count: int, limit: int) -> None:
    tenant = new_id()[-20:]
    expected = [new_id() for _ in range(count)]
    for stream_id in expected:
        admin.recorder.decided(decided(0, stream_id=stream_id, tenant=tenant))
    seen: list[str] = []
    query = {"tenant": tenant, "limit": str(limit)}
    for _ in range(count // limit + 1):
        page = (await admin.client.get(URL, params=query)).json()
        seen += [item["stream_id"] for item in page["items"]]
        if page["next"] is None:
            break
        query["after"] = page["next"]
        newer = f"7{new_id()[1:]}"
        admin.recorder.decided(decided(0, stream_id=newer, tenant=tenant))
    assert page["next"] is None
    assert seen == sorted(expected, reverse=True)


@FUZZ
@given(
    query=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("since", "until", "tier", "rule", "tenant", "stream", "origin", "status", "after", "limit"),
            st.text(max_size=30) | st.datetimes().map(str) | st.integers().map(str),
        ),
    )
)
async def test_no_query_breaks_it(admin: Admin, query: dict[str, str]) -> None:
    clean = {name: value.encode(errors="replace").decode() for name, value in query.items()}
    assert (await admin.client.get(URL, params=clean)).status_code in {200, 400, 404, 422}


async def test_a_malformed_cursor_says_so(admin: Admin) -> None:
    for after in ("x", "0" * 25, "0" * 25 + "!", "u" * 26, "' OR 1=1 --"):
        answer = await admin.client.get(URL, params={"after": after})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "cursor_malformed"), after


async def test_an_unknown_stream_is_not_found(admin: Admin) -> None:
    for stream in ("x", "0" * 26, "chatcmpl-", "chatcmpl-" + "0" * 26, "%00"):
        answer = await admin.client.get(f"{URL}/{stream}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), stream
