"""Exports and searches of decisions and of the audit log: filters, counts, JSON lines, CSV, gzip, bounded pages."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import timedelta

import pytest

from control_plane.audit.repository import AuditFilter
from control_plane.decisions.records import Decided, Finished
from control_plane.exports import _cell
from edgewise.ids import new_id
from tests.factories.admin import NOON, Admin

URL = "/admin/v1/decisions"


def tell(admin: Admin, number: int, *, mode: str = "race", key: str = "k1", first_s: float | None = None) -> str:
    at = NOON + timedelta(seconds=number)
    sid = new_id(now=at.timestamp)
    told = {"tenant": "acme", "origin": "control_plane", "facts": {"request.complexity": 0.5}, "reason": "=1+1"}
    admin.recorder.decided(
        Decided(stream_id=sid, at=at, key_id=key, mode=mode, rule="r", policy_digest="abc123", model="m", **told)  # type: ignore[arg-type]
    )
    if first_s is not None:
        ended = Finished(stream_id=sid, at=at, status="done", tier="edge:e", first_token_s=first_s, total_s=2 * first_s)
        admin.recorder.finished(ended)
    return sid


async def test_decisions_are_found_by_key_mode_policy_and_latency(admin: Admin) -> None:
    slow = tell(admin, 1, first_s=0.5)
    quick = tell(admin, 2, mode="edge", first_s=0.01)
    other = tell(admin, 3, key="k2")
    for query, expected in (
        ({"key": "k1"}, [quick, slow]),
        ({"mode": "edge"}, [quick]),
        ({"policy": "abc"}, [other, quick, slow]),
        ({"policy": "ab%"}, []),
        ({"min_first_token_ms": "100"}, [slow]),
        ({"min_total_ms": "0", "model": "m"}, [quick, slow]),
        ({"model": "other"}, []),
    ):
        found = (await admin.client.get(URL, params=query)).json()["items"]
        assert [item["stream_id"] for item in found] == expected, query


async def test_a_summary_counts_and_ranks(admin: Admin) -> None:
    for number in range(1, 21):
        tell(admin, number, mode="edge" if number % 4 else "race", first_s=number / 100)
    tell(admin, 30)
    found = (await admin.client.get(f"{URL}/summary")).json()
    assert found["decisions"] == 21
    assert found["mode"] == {"edge": 15, "race": 6}
    assert found["tier"] == {"edge:e": 20, "": 1}
    assert found["status"] == {"done": 20, "running": 1}
    assert found["first_token"] == {"count": 20, "p50_s": 0.1, "p95_s": 0.19, "p99_s": 0.2}
    late = {"since": (NOON + timedelta(seconds=29)).isoformat()}
    empty = (await admin.client.get(f"{URL}/summary", params=late)).json()
    assert empty["first_token"] == {"count": 0, "p50_s": None, "p95_s": None, "p99_s": None}


@pytest.mark.parametrize("packed", [False, True])
async def test_an_export_has_every_row_once_in_both_forms(admin: Admin, packed: bool) -> None:
    expected = [tell(admin, number) for number in range(1203)][::-1]
    headers = {"accept-encoding": "gzip" if packed else "identity"}
    for form in ("jsonl", "csv"):
        async with admin.client.stream("GET", f"{URL}/export", params={"format": form}, headers=headers) as answer:
            assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
            raw = b"".join([block async for block in answer.aiter_raw()])
        text = (gzip.decompress(raw) if packed else raw).decode()
        if form == "csv":
            rows = list(csv.DictReader(io.StringIO(text)))
            assert rows[0]["reason"] == "'=1+1"
            assert json.loads(rows[0]["facts"]) == {"request.complexity": 0.5}
        else:
            rows = [json.loads(line) for line in text.splitlines()]
            assert rows[0]["reason"] == "=1+1"
        assert [row["stream_id"] for row in rows] == expected


async def test_an_empty_export_still_has_its_header(admin: Admin) -> None:
    params = {"format": "csv", "tenant": "nobody"}
    answer = await admin.client.get(f"{URL}/export", params=params, headers={"accept-encoding": "identity"})
    assert answer.text.startswith("stream_id,at,tenant")
    assert answer.headers["content-disposition"] == 'attachment; filename="decisions.csv"'


def test_what_a_spreadsheet_would_run_is_quoted() -> None:
    assert [_cell(value) for value in ("=A1", "@x", "-1", -1, None, "plain")] == [
        "'=A1",
        "'@x",
        "'-1",
        "-1",
        "",
        "plain",
    ]


async def test_the_audit_log_is_searched_and_exported(admin: Admin) -> None:
    await admin.client.post("/admin/v1/keys", json={"name": "x", "roles": ["app"]})
    found = (await admin.client.get("/admin/v1/audit", params={"action": "key", "actor": "system"})).json()["items"]
    assert [item["action"] for item in found] == ["key.create"] * 3
    assert await admin.audit.search(AuditFilter(action="ke")) == []
    assert await admin.audit.search(AuditFilter(since=NOON + timedelta(days=1))) == []
    lines = (await admin.client.get("/admin/v1/audit/export", params={"action": "key.create"})).text.splitlines()
    first = json.loads(lines[0])
    assert (len(lines), first["action"], first["address"]) == (4, "key.create", "127.0.0.1")
