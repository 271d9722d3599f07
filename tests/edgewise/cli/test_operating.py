"""What operators type: the fleet, models, streams, decisions, audit, and keys and policies page by page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgewise.cli.nodes import parse_labels
from edgewise.cli.paging import moment, seconds
from edgewise.local.keys_file import KEYS_FILE, read_keys, replace_key
from edgewise.wire.errors import BadRequestError
from edgewise.wire.manifest import write_manifest
from policies.library import seed_text
from tests.edgewise.cli.conftest import Command
from tests.edgewise.cli.fake_api import SID, FakeApi, Reply
from tests.edgewise.cli.test_commands import DECISION, KEY, NODE, POLICY
from tests.factories.tiers import manifest_of

WISH = {"drained": True, "labels": {"shared": "true"}, "changed_at": None, "changed_by": ""}
MANIFEST = manifest_of()
VERSION = {
    "id": MANIFEST.id, "name": "small", "tier": "edge", "format": "test", "context_tokens": 1024,
    "registered_at": "2026-01-02T03:04:05Z", "card": "# small", "gates": "unjudged",
}  # fmt: skip
EXPLAINED = {"mode": "edge", "rule_id": "simple", "reason": "r"}
ACTIVE = {"name": "small", "tier": "edge", "tenant": "", "version_id": MANIFEST.id, "required": True}
STREAM = {
    "stream_id": SID, "state": "open", "at": "2026-01-02T03:04:05Z", "tenant": "acme", "key_id": "k", "mode": "race",
    "tier": None, "error_code": None, "completion_tokens": None, "first_token_s": None,
}  # fmt: skip


def paged(api: FakeApi, path: str, *pages: list[dict[str, Any]]) -> None:
    """Several pages of one list, the last without a successor."""
    replies: list[dict[str, Any]] = [{"items": page, "next": f"after-{n}"} for n, page in enumerate(pages)]
    replies[-1]["next"] = None
    api.reply("GET", path, *(Reply(json.dumps(reply).encode()) for reply in replies))


# pages ------------------------------------------------------------------------------------------------------------


def test_keys_and_policies_are_listed_to_the_last_page(api: FakeApi, command: Command) -> None:
    paged(api, "/admin/v1/keys", [KEY], [KEY | {"id": "k2", "name": "second"}])
    paged(api, "/admin/v1/policies", [POLICY], [POLICY | {"version": 1, "name": "older", "active": False}])
    keys, policies = command("keys", "list").out, command("policy", "list").out
    assert "first" in keys and "second" in keys
    assert "mine" in policies and "older" in policies
    assert [asked.path.rpartition("?")[2] for asked in api.asked[:2]] == ["limit=200", "after=after-0&limit=200"]


def test_decisions_stop_after_the_newest_unless_all_are_wanted(api: FakeApi, command: Command) -> None:
    rows = [DECISION | {"at": "2026-01-02T03:04:05Z", "tenant": "acme"}] * 50
    paged(api, "/admin/v1/decisions", rows, rows)
    assert len(json.loads(command("decisions", "list", "--json").out)) == 50
    command("decisions", "list", "--all", "--mode", "race", "--slower-than-ms", "20", "--since", "2h")
    assert "mode=race" in api.asked[1].path and "min_first_token_ms=20" in api.asked[1].path


def test_decisions_show_the_terms_of_those_that_have_any(api: FakeApi, command: Command) -> None:
    row = DECISION | {"at": "2026-01-02T03:04:05Z", "tenant": "acme"}
    step = {"mode": "edge", "max_tokens": 64, "reason": ""}
    terms = {"cloud_model": ">=2", "fallback": [step], "timeouts": {"soft_s": 0.8}}
    pages = ([row | {"terms": terms}, row | {"terms": {}}], [row | {"terms": {}}, row | {"terms": None}])
    lists = (Reply(json.dumps({"items": page, "next": None}).encode()) for page in pages)
    api.reply("GET", "/admin/v1/decisions", *lists)
    shown = command("decisions", "list").out
    assert "cloud_model >=2, fallback (mode edge, max_tokens 64), timeouts (soft_s 0.8)" in shown
    assert "terms" not in command("decisions", "list").out
    api.json("GET", f"/admin/v1/decisions/{SID}", row | {"terms": terms})
    api.json("POST", "/admin/v1/policies/active/explain", {"decision": EXPLAINED, "rules": [], "flips": []})
    assert "asked for cloud_model >=2, fallback" in command("policy", "explain", SID).out


def test_times_and_spans_are_read_as_people_write_them() -> None:
    noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
    assert moment("2h", lambda: noon) == "2026-05-04T10:00:00+00:00"
    assert moment("2026-05-04T12:00Z") == noon.isoformat()
    assert (moment(None), seconds("0"), seconds("7d")) == (None, 0.0, 604_800.0)
    for wrong in ("yesterday", "2 h", ""):
        with pytest.raises(BadRequestError, match=r"no time|no span"):
            moment(wrong) if wrong else seconds(wrong)


# nodes ------------------------------------------------------------------------------------------------------------


def test_the_fleet_shows_who_is_drained_and_who_is_away(api: FakeApi, command: Command) -> None:
    node = NODE | {"tenant": "acme", "labels": {"room": "a"}, "wish": WISH, "wanted_models": {"small": "x"}}
    api.json("GET", "/admin/v1/nodes", {"items": [node], "away": [{"node_id": "phone-9", "wish": WISH}]})
    shown = command("nodes", "list").out
    for word in ("edge-0", "drained", "room=a", "other version wanted", "phone-9", "away"):
        assert word in shown


def test_draining_labelling_and_forgetting(api: FakeApi, command: Command) -> None:
    api.json("POST", "/admin/v1/nodes/phone/drain", WISH)
    api.json("DELETE", "/admin/v1/nodes/phone/drain", WISH)
    api.json("PUT", "/admin/v1/nodes/phone/labels", WISH)
    api.json("DELETE", "/admin/v1/nodes/phone", {"node_id": "phone", "telemetry_records": 7})
    assert "edgewise nodes undrain phone" in command("nodes", "drain", "phone").out
    assert command("nodes", "undrain", "phone").code == 0
    assert "shared=true" in command("nodes", "label", "phone", "shared=true").out
    assert api.asked[-1].json == {"labels": {"shared": "true"}}
    assert "7 telemetry records" in command("nodes", "forget", "phone", "--force").out
    assert api.asked[-1].path.endswith("?force=true")
    with pytest.raises(BadRequestError, match="no label"):
        parse_labels(["shared"])


# models -----------------------------------------------------------------------------------------------------------


def test_a_version_is_registered_with_its_card_and_activated_by_the_beginning_of_its_id(
    api: FakeApi, command: Command, tmp_path: Path
) -> None:
    api.json("GET", "/admin/v1/models", {"items": [VERSION]})
    api.json("GET", "/admin/v1/models/active", {"items": [ACTIVE]})
    api.json("POST", "/admin/v1/models", VERSION, 201)
    api.json("POST", f"/admin/v1/models/{MANIFEST.id}/activate", ACTIVE)
    write_manifest(tmp_path, MANIFEST)
    (tmp_path / "CARD.md").write_text("# small 小", encoding="utf-8")
    assert MANIFEST.id in command("models", "register", str(tmp_path)).out
    sent = api.asked[-1].json
    assert (sent["card"], sent["expected_id"], sent["manifest"]["name"]) == ("# small 小", MANIFEST.id, "small")
    assert "edge (required)" in command("models", "list").out
    assert "is wanted on edge" in command("models", "activate", MANIFEST.id[:8], "--required").out
    assert api.asked[-1].json == {"tenant": "", "required": True}
    unknown = command("models", "activate", "zzz")
    assert (unknown.code, "edgewise models list" in unknown.err) == (1, True)


def test_findings_and_an_override_are_sent_with_a_version(api: FakeApi, command: Command, tmp_path: Path) -> None:
    api.json("POST", "/admin/v1/models", VERSION | {"gates": "overridden"}, 201)
    write_manifest(tmp_path, MANIFEST)
    (tmp_path / "findings.json").write_text("{}")
    assert "gates: overridden" in command("models", "register", str(tmp_path), "--override", "a trial").out
    sent = api.asked[-1].json
    assert (sent["findings"], sent["override"]) == ("{}", "a trial")
    assert "card" not in sent


def test_a_wanted_version_is_taken_back(api: FakeApi, command: Command) -> None:
    api.json("POST", "/admin/v1/models/deactivate", ACTIVE | {"version_id": None})
    api.json("POST", "/admin/v1/models/rollback", ACTIVE)
    assert "any registered version" in command("models", "deactivate", "small", "edge").out
    assert MANIFEST.id[:12] in command("models", "rollback", "small", "edge", "--tenant", "acme").out
    assert api.asked[-1].json == {"name": "small", "tier": "edge", "tenant": "acme"}


def test_a_directory_without_a_manifest_is_told(command: Command, tmp_path: Path) -> None:
    done = command("models", "register", str(tmp_path))
    assert (done.code, "manifest.json" in done.err) == (1, True)


# streams, decisions, audit ----------------------------------------------------------------------------------------


def test_streams_are_listed_shown_and_stopped(api: FakeApi, command: Command) -> None:
    paged(api, "/admin/v1/streams", [STREAM])
    api.json("GET", f"/admin/v1/streams/{SID}", {"stream_id": SID, "text": None})
    api.json("DELETE", f"/admin/v1/streams/{SID}", {"id": SID, "status": "cancelled", "last_seq": 3})
    assert "open" in command("streams", "list", "--state", "open").out
    command("streams", "show", SID)
    assert api.asked[-1].path.endswith("?include_text=false")
    assert command("streams", "cancel", SID).out == f"stream {SID}: cancelled\n"


def test_a_summary_names_counts_and_quantiles(api: FakeApi, command: Command) -> None:
    quantiles = {"count": 4, "p50_s": 0.0123, "p95_s": 0.5, "p99_s": 0.9}
    counts: dict[str, Any] = {column: {"race": 4} for column in ("mode", "rule", "tier", "status")}
    api.json("GET", "/admin/v1/decisions/summary", {"decisions": 4, "first_token": quantiles} | counts)
    assert "4 decisions; first token p50 12 ms, p95 500 ms" in command("decisions", "summary").out


def test_exports_go_to_a_file_or_to_standard_output(api: FakeApi, command: Command, tmp_path: Path) -> None:
    api.reply("GET", "/admin/v1/decisions/export", Reply(b'{"a": 1}\n', kind="application/x-ndjson"))
    api.reply("GET", "/admin/v1/audit/export", Reply(b"id,at\n", kind="text/csv"))
    file = tmp_path / "out.jsonl"
    assert "9 bytes" in command("decisions", "export", str(file)).out
    assert file.read_bytes() == b'{"a": 1}\n'
    assert command("audit", "export", "--format", "csv", "--action", "policy").code == 0
    assert "action=policy" in api.asked[-1].path


def test_the_audit_log_shows_who_and_from_where(api: FakeApi, command: Command) -> None:
    entry = {
        "at": "2026-01-02T03:04:05Z", "actor": "k1", "action": "policy.activate", "target": "policy/2",
        "before": "a", "after": "b", "address": "10.0.0.7",
    }  # fmt: skip
    paged(api, "/admin/v1/audit", [entry])
    shown = command("audit", "list").out
    for word in ("k1", "policy.activate", "policy/2", "a → b", "10.0.0.7"):
        assert word in shown


# policies and keys ------------------------------------------------------------------------------------------------


def test_a_policy_is_tried_and_replayed(api: FakeApi, command: Command, tmp_path: Path) -> None:
    decision = {"mode": "edge", "rule_id": "simple", "reason": "r"}
    tried = {"decision": decision, "rules": [], "flips": [], "differs": ["mode"], "active": decision | {"mode": "race"}}
    api.json("POST", "/admin/v1/policies/dry-run", tried)
    change = {"recorded": "race", "replayed": "edge", "count": 3, "examples": [SID], "cost": 1500, "expected_cost": 2.5}
    replayed = {"decisions": 5, "unchanged": 2, "errors": 0, "unfaithful": 1, "changes": [change]}
    replayed |= {"other_rule": 0, "other_terms": 2, "cost": 4000, "expected_cost": None}
    api.json("POST", "/admin/v1/policies/replay", replayed)
    file = tmp_path / "p.yaml"
    file.write_text(seed_text(), encoding="utf-8")
    shown = command("policy", "try", str(file), "-m", "hello", "--fact", "device.battery_pct=5").out
    assert "mode edge by rule simple" in shown and "differs in mode: mode race" in shown
    sent = api.asked[-1].json
    assert sent["messages"] == [{"role": "user", "content": "hello"}]
    assert (sent["facts"], sent["text"]) == ({"device.battery_pct": 5}, seed_text())
    shown = command("policy", "replay", "3", "--last", "5").out
    assert SID in shown and "take the counts with care" in shown
    assert "(0 by another rule, 2 with other terms)" in shown
    assert "1,500" in shown and "cost in micro-units: 4,000; it would be not known" in shown
    assert api.asked[-1].json["version"] == 3


def test_applying_may_expect_a_policy(api: FakeApi, command: Command, tmp_path: Path) -> None:
    api.json("POST", "/admin/v1/policies", POLICY, 201)
    file = tmp_path / "p.yaml"
    file.write_text(seed_text(), encoding="utf-8")
    command("policy", "apply", str(file), "--expect", "abc")
    assert api.asked[-1].json["expected_digest"] == "abc"


def test_a_rotated_key_takes_its_place_in_the_keys_file(api: FakeApi, command: Command, tmp_path: Path) -> None:
    paged(api, "/admin/v1/keys", [KEY | {"prefix": "ek_app"}])
    made = KEY | {"key": "ek_new", "old_expires_at": "2026-01-02T03:04:05Z"}
    api.json("POST", "/admin/v1/keys/k1/rotate", made)
    done = command("keys", "rotate", "k1", "--overlap", "15m")
    assert done.out == "ek_new\n"
    assert api.asked[-1].json == {"overlap_s": 900.0}
    assert read_keys(tmp_path / KEYS_FILE).app == "ek_new"
    assert read_keys(tmp_path / KEYS_FILE).operator == "ek_op"
    assert (tmp_path / KEYS_FILE).stat().st_mode & 0o777 == 0o600


def test_a_keys_file_without_that_key_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / KEYS_FILE
    file.write_bytes(msgspec.json.encode({"operator": "ek_a", "app": "ek_a"}))
    assert not replace_key(file, "ek_a", "ek_b")  # two of them: nobody knows which
    assert not replace_key(file, "ek_z", "ek_b")
    assert not replace_key(tmp_path / "none.json", "ek_a", "ek_b")
    assert read_keys(file).app == "ek_a"
