"""`edgewise limits` and `edgewise usage`: what is asked of the API, and what is shown."""

from __future__ import annotations

import json
import re
from typing import Any

from edgewise.cli.limits import FIELDS
from tests.edgewise.cli.conftest import Command
from tests.edgewise.cli.fake_api import FakeApi


def view(**limits: int) -> dict[str, Any]:
    """What the API says of a key with these limits."""
    return {
        "scope": "key:k1",
        "limits": {name: limits.get(name) for name in FIELDS},
        "requests_in_minute": 3,
        "tokens_in_minute": 40,
        "minute_reset_s": 12.0,
        "running": 1,
        "budgets": {"tokens_per_day": {"limit": 100, "spent": 60, "reserved": 15, "remaining": 25}},
    }


def test_show(api: FakeApi, command: Command) -> None:
    api.json("GET", "/admin/v1/limits/k1", view(requests_per_minute=5, tokens_per_day=100))
    shown = command("limits", "show", "k1")
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["requests_per_minute", "5", "3", "2"] in rows
    assert ["tokens_per_day", "100", "60", "15", "25"] in rows


def test_set_keeps_what_is_not_named(api: FakeApi, command: Command) -> None:
    path = "/admin/v1/limits/tenants/a%2Fb"
    api.json("GET", path, view(concurrent=2, tokens_per_day=100))
    api.json("PUT", path, view(concurrent=2))
    words = ("limits", "set", "a/b", "--tenant", "--tokens-per-day", "-1", "--requests-per-minute", "9", "--json")
    done = command(*words)
    assert done.code == 0, done.err
    sent = {name: most for name, most in api.asked[-1].json.items() if most is not None}
    assert sent == {"concurrent": 2, "requests_per_minute": 9}


def test_clear(api: FakeApi, command: Command) -> None:
    api.json("DELETE", "/admin/v1/limits/k1", view())
    assert command("limits", "clear", "k1").out == "key:k1 has no limits\n"


def test_usage_reads_every_page(api: FakeApi, command: Command) -> None:
    names = ("day", "key_id", "tenant", "tier_kind", "model", "requests", "refused")
    counts = ("prompt_tokens", "completion_tokens", "waste_tokens", "cost_micros")
    row = dict.fromkeys((*names, *counts), 0) | {"day": "2026-05-01", "key_id": "k1", "prompt_tokens": 1234}
    api.json("GET", "/admin/v1/usage", {"items": [row], "next": "c"})
    api.json("GET", "/admin/v1/usage", {"items": [row], "next": None})
    found = json.loads(command("usage", "--of-key", "k1", "--since", "2026-05-01", "--json").out)
    assert [item["prompt_tokens"] for item in found] == [1234, 1234]
    assert "key=k1" in api.asked[-1].path and "after=c" in api.asked[-1].path


def test_set_says_what_to_name(api: FakeApi, command: Command) -> None:
    done = command("limits", "set", "k1")
    assert done.code == 1 and "--requests-per-minute 60" in done.err
    assert api.asked == []


def test_usage_takes_spans_and_says_which(api: FakeApi, command: Command) -> None:
    api.json("GET", "/admin/v1/usage", {"items": [], "next": None})
    assert command("usage", "--since", "7d").code == 0
    assert re.search(r"since=\d{4}-\d{2}-\d{2}(&|\Z)", api.asked[-1].path)
    for wrong in ("yesterday", "99999999999w"):
        done = command("usage", "--since", wrong)
        assert done.code == 1 and "2h, 7d" in done.err
