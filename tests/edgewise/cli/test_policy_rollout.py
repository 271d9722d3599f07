"""`edgewise policy rollout` and `policy save`: what is asked of the API, what is shown, how `watch` ends."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgewise.cli.policy_rollout_view import page, watching, whole
from tests.edgewise.cli.conftest import Command
from tests.edgewise.cli.fake_api import FakeApi, Reply

BASE = "/admin/v1/policy-rollouts"
VIEW: dict[str, Any] = {
    "id": 7,
    "name": "r7",
    "candidate_version": 3,
    "base_version": 2,
    "position": "running",
    "stage": 2,
    "open": True,
    "reason": "stage 2 of 3: enforce for 10 %",
    "author": "key-1",
    "created_at": "2026-05-04T12:00:00Z",
    "changed_at": "2026-05-04T13:00:00Z",
    "text": "…",
    "plan_digest": "d",
    "revision": 3,
    "by": "device.id",
    "on_breach": "rollback",
    "waits_for": "stage 2 of 3 lasts another 1800 s",
    "damage": "",
    "stages": [
        {"mode": "shadow", "percent": 100.0, "for_s": 3600.0, "state": "over", "elapsed_s": 0.0},
        {"mode": "enforce", "percent": 10.0, "for_s": 3600.0, "state": "now", "elapsed_s": 1800.0},
        {"mode": "enforce", "percent": 100.0, "for_s": None, "state": "ahead", "elapsed_s": 0.0},
    ],
    "gates": [
        {
            "name": "errors",
            "limit": "<= 5%",
            "found": "1 of 40 (2.5 %)",
            "seen": 40,
            "needed": 100,
            "due": True,
            "evidence": 0.25,
            "breached": False,
        }
    ],
    "approvals": {"needed": 1, "by": ["key-2"], "self_approve": False},
    "tally": {
        "decided": 50,
        "changed": 5,
        "old_errors": 0,
        "candidate_errors": 0,
        "newly_leaving": 4,
        "modes": [{"old": "edge", "candidate": "race", "count": 5}],
    },
    "timeline": [
        {
            "at": "2026-05-04T12:00:00Z",
            "actor": "key-1",
            "action": "policy_rollout.create",
            "before": None,
            "after": "waiting: waits for 1 approvals",
        }
    ],
}
DONE = VIEW | {"position": "done", "stage": None, "open": False, "reason": "all stages are over", "waits_for": ""}
BACK = DONE | {"position": "rolled-back", "reason": "errors: 9 of 40 (22.5 %); allowed is <= 5%"}


def drawn(part: Any) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(part)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_stage_sends_the_document_and_says_what_comes_next(api: FakeApi, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("kind: PolicyRollout\n", encoding="utf-8")
    api.json("POST", BASE, VIEW | {"position": "waiting", "stage": None, "reason": "waits for 1 approvals"}, 201)
    done = command("policy", "rollout", "stage", str(file))
    assert api.asked[-1].json == {"text": "kind: PolicyRollout\n"}
    assert done.out == (
        "policy rollout 7 (r7, version 3 after 2) is waiting: waits for 1 approvals\n"
        "next: edgewise policy rollout approve 7\n"
    )
    assert json.loads(command("policy", "rollout", "stage", str(file), "--json").out)["id"] == 7


def test_a_refused_document_is_told_with_its_lines(api: FakeApi, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("kind: PolicyRollout\n", encoding="utf-8")
    problem = {"line": 5, "column": 3, "message": "'eror' is no gate", "suggestion": "did you mean errors?"}
    error = {"message": "The rollout has 1 error(s).", "number": 1109, "code": "policy_invalid"}
    api.json("POST", BASE, {"error": error, "problems": [problem]}, 422)
    done = command("policy", "rollout", "stage", str(file))
    assert done.code == 1 and "line 5, column 3: 'eror' is no gate (try: did you mean errors?)" in done.err


def test_list_and_show(api: FakeApi, command: Command) -> None:
    api.json("GET", BASE, {"items": [VIEW], "next": None})
    api.json("GET", f"{BASE}/7", VIEW)
    out = command("policy", "rollout", "list").out
    assert "running, stage 2" in out and "enforce for 10 %" in out
    shown = command("policy", "rollout", "show").out  # the newest
    for part in (
        "is running 2/3", "0:30:00 of 1:00:00", "1 of 40 (2.5 %)", "40 of 100", "lasts another 1800 s",
        "approved by 1 of 1: key-2", "50 compared, 5 changed, 4 would newly leave their device", "key-1",
    ):  # fmt: skip
        assert part in shown
    assert json.loads(command("policy", "rollout", "show", "7", "--json").out) == VIEW


def test_without_any_rollout_it_says_what_to_type(api: FakeApi, command: Command) -> None:
    api.json("GET", BASE, {"items": [], "next": None})
    done = command("policy", "rollout", "show")
    assert done.code == 1 and "edgewise policy rollout stage FILE" in done.err


@pytest.mark.parametrize(
    ("word", "options"), [("approve", {}), ("hold", {"why": "x"}), ("resume", {}), ("roll-back", {"why": "x"})]
)
def test_people_move_it(api: FakeApi, command: Command, word: str, options: dict[str, str]) -> None:
    api.json("POST", f"{BASE}/7/{word}", VIEW)
    words = [part for name, value in options.items() for part in (f"--{name}", value)]
    assert command("policy", "rollout", word, "7", *words).out.startswith("policy rollout 7 (r7, ")
    assert api.asked[-1].body == (json.dumps(options, separators=(",", ":")).encode() if options else b"")


@pytest.mark.parametrize(("last", "code"), [(DONE, 0), (BACK, 3), (VIEW | {"damage": "its plan has errors"}, 1)])
def test_watch_ends_with_a_code_that_tells_how(api: FakeApi, command: Command, last: dict[str, Any], code: int) -> None:
    api.reply("GET", f"{BASE}/7", *(Reply(json.dumps(view).encode()) for view in (VIEW, VIEW, last)))
    done = command("policy", "rollout", "watch", "7")
    lines = done.out.splitlines()
    assert done.code == code and len(lines) == 2 and "running 2/3" in lines[0]
    assert last["position"] in lines[1] or "its plan has errors" in lines[1]
    quiet = command("policy", "rollout", "watch", "7", "--json")
    assert quiet.code == code and json.loads(quiet.out) == last


def test_on_a_terminal_the_page_is_drawn_again() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with watching(terminal) as shown:
        shown(VIEW)
        shown(BACK)
    text = terminal.getvalue()
    assert "is running 2/3" in text and "is rolled-back: errors: 9 of 40" in text


def test_bars_grow_with_time_and_evidence() -> None:
    bare = VIEW | {"stages": [], "gates": [], "tally": None, "waits_for": "", "approvals": None}
    assert "━" not in drawn(page(bare)) and "━" in drawn(page(VIEW))
    assert "waiting: waits for 1 approvals" in drawn(whole(VIEW)) and "stage" in drawn(whole(bare))


def test_save_keeps_a_version_and_says_its_name(api: FakeApi, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("kind: RoutingPolicy\n", encoding="utf-8")
    api.json("POST", "/admin/v1/policies", {"name": "mine", "version": 4, "digest": "a" * 64}, 201)
    out = command("policy", "save", str(file), "--note", "n").out
    assert out == "policy mine@4 (aaaaaaaaaaaa) is saved, and not in force yet\n"
    assert api.asked[-1].json == {"text": "kind: RoutingPolicy\n", "note": "n"}
