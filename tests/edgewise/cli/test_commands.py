"""Every command against a fake API: what it asks, what it shows, and how errors look."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgewise import __version__
from edgewise.cli.ask import printable
from edgewise.cli.main import run
from edgewise.cli.policy_facts import parse_facts
from edgewise.cli.up import Announcer
from edgewise.local.events import StackEvent
from edgewise.wire.errors import BadRequestError
from policies.library import seed_text
from tests.edgewise.cli.conftest import Command
from tests.edgewise.cli.fake_api import SID, FakeApi, Reply, end_chunk, stream, text_chunk, tier_chunk

ANSWER = stream((0, tier_chunk("edge:e")), (1, text_chunk("Hi 你")), (2, end_chunk("edge:e")), (2, "[DONE]"))
DIGEST = "d" * 64
POLICY = {
    "version": 2, "name": "mine", "digest": DIGEST, "note": "n", "author": "a", "created_at": "2026-01-02T03:04:05Z",
    "active": True, "text": "a: b\n",
}  # fmt: skip
KEY = {
    "id": "k1", "prefix": "ek_abc", "name": "first", "tenant": "default", "user_tier": "standard", "roles": ["app"],
    "device": None, "created_at": "2026-01-02T03:04:05Z", "revoked_at": None,
}  # fmt: skip
NODE: dict[str, Any] = {
    "node_id": "edge-0", "kind": "edge", "models": [{"name": "small"}], "load": {"running": 1, "slots": 2, "queued": 0},
    "facts": {"device.battery_pct": 81.5, "device.rtt_ms": 3.0},
}  # fmt: skip
MODEL = {"name": "small", "tier": "edge", "format": "onnx", "context_tokens": 1024, "id": DIGEST}
DECISION: dict[str, Any] = {
    "stream_id": SID, "status": "done", "tier": "cloud:w", "last_tier": "edge:e", "mode": "race", "rule": "default",
    "first_token_s": 0.041, "completion_tokens": 12, "error_code": None, "reason": "no rule before it held",
    "policy_digest": DIGEST, "facts": {"request.complexity": 0.5},
}  # fmt: skip


def refuse(api: FakeApi, method: str, path: str, status: int = 403, **more: Any) -> None:
    error = {"message": "Not you. To do: ask.", "number": 1201, "code": "forbidden", "where": "here", "remedy": "ask"}
    api.json(method, path, {"error": error} | more, status)


# ask --------------------------------------------------------------------------------------------------------------


def test_ask_prints_the_answer_and_one_line_about_it(api: FakeApi, command: Command) -> None:
    api.reply("POST", "/v1/chat/completions", ANSWER)
    done = command("ask", "Hello", "--mode", "race", "--device", "edge-0", "--max-tokens", "5", "--seed", "3")
    assert (done.code, done.out) == (0, "Hi 你\n")
    assert done.err == (f"[edge:e · mode race · rule default · first token 50 ms · 50.0 tokens/s · stream {SID}]\n")
    asked = api.asked[0]
    assert asked.headers["authorization"] == "Bearer ek_app"
    assert asked.json == {
        "model": "edgewise",
        "messages": [{"role": "user", "content": "Hello"}],
        "edgewise": {"mode": "race", "device": "edge-0"},
        "temperature": 0.0,
        "max_tokens": 5,
        "seed": 3,
        "stream": True,
    }


def test_ask_gives_json_to_programs(api: FakeApi, command: Command) -> None:
    api.reply("POST", "/v1/chat/completions", ANSWER)
    found = json.loads(command("ask", "Hello", "--json").out)
    assert (found["text"], found["tier"], found["tokens"], found["stream"]) == ("Hi 你", "edge:e", 11, SID)


def test_ask_reads_standard_input(api: FakeApi, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    api.reply("POST", "/v1/chat/completions", ANSWER)
    monkeypatch.setattr(sys, "stdin", io.StringIO("a long question"))
    command("ask", "-", "--system", "Be brief.")
    assert [message["content"] for message in api.asked[0].json["messages"]] == ["Be brief.", "a long question"]


def test_a_key_and_an_address_may_be_given(api: FakeApi, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    api.reply("POST", "/v1/chat/completions", ANSWER)
    monkeypatch.setenv("EDGEWISE_API_KEY", "ek_env")
    command("ask", "x")
    command("ask", "x", "--key", "ek_given", "--url", api.url + "/")
    assert [asked.headers["authorization"] for asked in api.asked] == ["Bearer ek_env", "Bearer ek_given"]


def test_an_answer_cannot_steer_the_terminal(api: FakeApi, command: Command) -> None:
    api.reply("POST", "/v1/chat/completions", stream((0, text_chunk("a\x1b[2Jb")), (0, "[DONE]")))
    assert command("ask", "x").out == "a[2Jb\n"
    assert printable("a\x1b[2Jb\x07\n\tc\x9b你") == "a[2Jb\n\tc你"


# errors -----------------------------------------------------------------------------------------------------------


def test_an_api_error_is_told_with_its_remedy(api: FakeApi, command: Command) -> None:
    refuse(api, "POST", "/v1/chat/completions")
    done = command("ask", "x")
    assert (done.code, done.out) == (1, "")
    assert done.err == "Error: Not you\n  Where:    here\n  To do:    ask\n"


def test_an_answer_that_is_no_error_object_is_quoted(api: FakeApi, command: Command) -> None:
    done = command("status")
    assert done.code == 1
    assert "status 404: no such path" in done.err


def test_no_keys_file_names_the_ways_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "x", "--data-dir", str(tmp_path / "none")]) == 1
    err = capsys.readouterr().err
    assert "There is no app key" in err
    assert "edgewise up" in err


def test_debug_shows_the_traceback(api: FakeApi, tmp_path: Path) -> None:
    from edgewise.wire.errors import ConfigError

    with pytest.raises(ConfigError):
        run(["--debug", "ask", "x", "--data-dir", str(tmp_path / "none")])


def test_wrong_usage_is_exit_code_2(command: Command) -> None:
    assert command("ask").code == 2
    assert command("nonsense").code == 2


# status -----------------------------------------------------------------------------------------------------------


def overview(api: FakeApi) -> None:
    api.json("GET", "/admin/v1/nodes", {"items": [NODE]})
    api.json("GET", "/admin/v1/models", {"items": [MODEL]})
    api.json("GET", "/admin/v1/policies/active", POLICY)
    api.json("GET", "/admin/v1/decisions", {"items": [DECISION], "next": None})


def test_status_shows_nodes_models_policy_and_streams(api: FakeApi, command: Command) -> None:
    overview(api)
    done = command("status")
    assert done.code == 0
    for text in ("edge-0", "1/2", "battery 82 %", "small", "1024 tokens", "mine, version 2", "race", "41 ms", "edge:e"):
        assert text in done.out
    assert api.asked[0].headers["authorization"] == "Bearer ek_op"


def test_status_gives_json_to_programs(api: FakeApi, command: Command) -> None:
    overview(api)
    found = json.loads(command("status", "--json").out)
    assert set(found) == {"url", "nodes", "models", "policy", "streams"}
    assert found["policy"]["version"] == 2


# policies ---------------------------------------------------------------------------------------------------------


def test_policies_are_listed_and_shown(api: FakeApi, command: Command) -> None:
    api.json("GET", "/admin/v1/policies", {"items": [POLICY], "next": None})
    api.json("GET", "/admin/v1/policies/active", POLICY)
    api.json("GET", "/admin/v1/policies/7", POLICY | {"text": "seven: 7"})
    listed = command("policy", "list").out
    assert "active" in listed
    assert "mine" in listed
    assert command("policy", "show").out == "a: b\n"
    assert command("policy", "show", "7").out == "seven: 7\n"


def test_a_policy_is_applied_and_rolled_back(api: FakeApi, command: Command, tmp_path: Path) -> None:
    api.json("POST", "/admin/v1/policies", POLICY, 201)
    api.json("POST", "/admin/v1/policies/rollback", {"version": 1, "digest": DIGEST})
    (tmp_path / "p.yaml").write_text("a: 你\n", encoding="utf-8")
    assert "version 2" in command("policy", "apply", str(tmp_path / "p.yaml"), "--note", "why").out
    assert api.asked[0].json == {"text": "a: 你\n", "note": "why", "activate": True}
    assert "version 1" in command("policy", "rollback").out


def test_a_refused_policy_shows_every_problem(api: FakeApi, command: Command, tmp_path: Path) -> None:
    problem = {"line": 3, "column": 7, "message": "unknown fact", "suggestion": "device.rtt_ms"}
    refuse(api, "POST", "/admin/v1/policies", 422, problems=[problem])
    (tmp_path / "p.yaml").write_text("a: b\n")
    err = command("policy", "apply", str(tmp_path / "p.yaml")).err
    assert "line 3, column 7: unknown fact (try: device.rtt_ms)" in err


def test_a_policy_is_checked_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(seed_text(), encoding="utf-8")
    assert run(["policy", "check", str(file)]) == 0
    assert "no faults" in capsys.readouterr().out
    file.write_text(seed_text().replace("device.cpu_temp_c", "device.cpu_temp_k"), encoding="utf-8")
    assert run(["policy", "check", str(file)]) == 1
    assert "p.yaml:" in capsys.readouterr().err
    assert run(["policy", "check", str(tmp_path / "none")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_explain_says_why(api: FakeApi, command: Command) -> None:
    rule = {"rule_id": "simple", "outcome": "not_matched", "when": "x < 1"}
    decision = {"mode": "race", "rule_id": "default", "reason": "none held"}
    explained = {"decision": decision, "rules": [rule], "flips": ["x = 0 would give edge"]}
    api.json("POST", "/admin/v1/policies/active/explain", explained)
    api.json("GET", f"/admin/v1/decisions/{SID}", DECISION)
    out = command("policy", "explain", "--fact", "request.complexity=0.2", "--fact", "device.online=true").out
    assert api.asked[0].json == {"facts": {"request.complexity": 0.2, "device.online": True}}
    for text in ("mode race by rule default", "not matched", "otherwise: x = 0"):
        assert text in out
    out = command("policy", "explain", SID).out
    assert "no rule before it held" in out
    assert "request.complexity" in out


def test_facts_are_read_by_their_looks() -> None:
    found = parse_facts(["a=1", "b=1.5", "c=true", "d=zh", "e=a=b", "f=null"])
    assert found == {"a": 1, "b": 1.5, "c": True, "d": "zh", "e": "a=b", "f": None}
    with pytest.raises(BadRequestError, match="is no fact"):
        parse_facts(["oops"])


# keys and streams -------------------------------------------------------------------------------------------------


def test_keys_are_made_listed_and_revoked(api: FakeApi, command: Command) -> None:
    api.json("POST", "/admin/v1/keys", KEY | {"key": "ek_secret"}, 201)
    api.json("GET", "/admin/v1/keys", {"items": [KEY], "next": None})
    api.json("DELETE", "/admin/v1/keys/k1", KEY)
    made = command("keys", "create", "first", "--role", "app", "--role", "node", "--device", "d")
    assert made.out == "ek_secret\n"
    assert api.asked[0].json == {"name": "first", "roles": ["app", "node"], "device": "d"}
    assert "ek_abc…" in command("keys", "list").out
    assert "is revoked" in command("keys", "revoke", "k1").out


def test_stream_read_and_cancel(api: FakeApi, command: Command) -> None:
    api.reply("GET", f"/v1/streams/{SID}", stream((2, text_chunk("你好")), (3, end_chunk("edge:e")), (3, "[DONE]")))
    assert command("stream", "read", f"chatcmpl-{SID}").out == "你好\n"
    found = json.loads(command("stream", "read", SID, "--after", "1", "--json").out)
    assert (found["text"], found["stream"], found["finish"]) == ("你好", SID, "stop")
    assert api.asked[-1].headers["last-event-id"] == "1"
    api.json("DELETE", f"/v1/streams/{SID}", {"id": SID, "status": "done", "last_seq": 4})
    assert command("stream", "cancel", SID).out == f"stream {SID}: done\n"
    assert json.loads(command("stream", "cancel", SID, "--json").out)["last_seq"] == 4


def test_cancel_stops_a_stream(api: FakeApi, command: Command) -> None:
    api.json("DELETE", f"/v1/streams/{SID}", {"id": SID, "status": "cancelled", "last_seq": 4})
    assert command("cancel", f"chatcmpl-{SID}").out == f"stream {SID}: cancelled\n"


# the command itself -----------------------------------------------------------------------------------------------


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"edgewise {__version__}\n"


@pytest.mark.system
def test_help_imports_nothing_heavy() -> None:
    code = "import sys, edgewise.cli.main; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"httpx", "asyncio", "uvicorn", "numpy", "torch", "fastapi", "sqlalchemy", "rich.console", "yaml"}
    assert heavy & set(done.stdout.split()) == set()


def test_the_ready_line_says_where_and_what_to_try(tmp_path: Path) -> None:
    ready = StackEvent(event="ready", base_url="http://127.0.0.1:8080", edge_url="http://127.0.0.1:8081", keys_file="k")
    words = Announcer(tmp_path).words(ready)
    assert "ready at http://127.0.0.1:8080" in words
    assert words.count(f"--data-dir {tmp_path}") == 3
    assert "--data-dir" not in Announcer(Path(".edgewise")).words(ready)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            StackEvent(event="child_crashed", child="control", why="ended", restart_in_s=0.5, log="l"),
            "ended; it starts",
        ),
        (StackEvent(event="child_failed", child="control", why="ended"), "stopping the rest"),
        (StackEvent(event="stopped"), "Edgewise is stopped."),
    ],
)
def test_every_event_has_words(event: StackEvent, words: str, tmp_path: Path) -> None:
    assert words in Announcer(tmp_path).words(event)


@pytest.mark.parametrize(
    ("words", "method", "path"),
    [
        (["status"], "GET", "/admin/v1/policies/active"),
        (["keys", "list"], "GET", "/admin/v1/keys"),
        (["policy", "show"], "GET", "/admin/v1/policies/active"),
        (["cancel", SID], "DELETE", f"/v1/streams/{SID}"),
    ],
)
def test_another_programs_answers_are_not_taken_for_ours(
    api: FakeApi, command: Command, words: list[str], method: str, path: str
) -> None:
    """The port may belong to somebody else, who answers everything with a page."""
    api.reply(method, path, Reply(b"<html>hello</html>", 200, "text/html"))
    outcome = command(*words)
    assert outcome.code == 1
    assert "no Edgewise control plane" in outcome.err
