"""`edgewise job` against a fake API: what it asks, and what it shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.edgewise.cli.conftest import Command
from tests.edgewise.cli.fake_api import FakeApi

URL = "/admin/v1/jobs"
JOB: dict[str, Any] = {
    "id": "j1", "kind": "export_decisions", "queue": "export", "key": "k", "payload": {}, "state": "running",
    "attempt": 1, "max_attempts": 5, "progress": 0.5, "progress_message": "half", "result": None, "error": None,
    "created_at": "2026-01-02T03:04:05Z", "ended_at": None,
}  # fmt: skip
DONE = JOB | {"state": "done", "progress": 1.0, "result": {"rows": 7}, "ended_at": "2026-01-02T03:04:06Z"}


def test_list_shows_jobs_and_passes_filters_on(api: FakeApi, command: Command) -> None:
    api.json("GET", URL, {"items": [JOB, JOB | {"id": "j2", "state": "dead", "error": "no disk"}], "next": None})
    done = command("job", "list", "--kind", "export_decisions", "--state", "dead")
    assert done.code == 0
    assert all(word in done.out for word in ("j1", "50%", "1/5", "no disk"))
    assert "kind=export_decisions" in api.asked[0].path
    assert "state=dead" in api.asked[0].path
    assert json.loads(command("job", "list", "--json").out)[0]["id"] == "j1"


def test_run_sends_the_payload_and_follows_until_the_end(api: FakeApi, command: Command) -> None:
    api.json("POST", URL, JOB, 201)
    api.json("GET", f"{URL}/j1", JOB)
    api.json("GET", f"{URL}/j1", DONE)
    done = command("job", "run", "export_decisions", "--payload", '{"from": "2026-01-01"}', "--once", "k", "--follow")
    assert done.code == 0
    assert api.asked[0].json == {"kind": "export_decisions", "payload": {"from": "2026-01-01"}, "key": "k"}
    assert 'result: {"rows": 7}' in done.out


@pytest.mark.parametrize(
    "payload", ["[1]", "{", "3", '{"a": NaN}', '{"a": "\\ud800"}', '{"a": ' + "[" * 5000 + "]" * 5000 + "}"]
)
def test_a_payload_that_is_no_object_is_refused_here(api: FakeApi, command: Command, payload: str) -> None:
    done = command("job", "run", "export_decisions", "--payload", payload)
    assert done.code == 1
    assert "not a JSON object" in done.err
    assert api.asked == []


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_retry_and_cancel_show_the_job_as_it_is_then(api: FakeApi, command: Command, verb: str) -> None:
    api.json("POST", f"{URL}/j1/{verb}", JOB | {"state": "queued"})
    done = command("job", verb, "j1", "--json")
    assert json.loads(done.out)["state"] == "queued"


def test_show_follows_too(api: FakeApi, command: Command) -> None:
    api.json("GET", f"{URL}/j1", DONE)
    assert "done" in command("job", "show", "j1", "--follow").out
