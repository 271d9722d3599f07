"""`edgewise policy` on documents: lint, test, diff, explain and fmt, and what replays show by rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgewise.cli.main import run
from edgewise.cli.policy_facts import tell_unusual
from edgewise.cli.policy_files import coloured
from policies.library import seed_text
from tests.edgewise.cli.conftest import Command
from tests.edgewise.cli.fake_api import FakeApi
from tests.edgewise.cli.test_commands import POLICY

HEAD = "apiVersion: edgewise/v1\nkind: RoutingPolicy\nmetadata: {name: small}\nspec:\n"
SMALL = (
    HEAD
    + """\
  rules:
    - id: code
      when: request.task == "code"
      decide: {mode: cloud}
  default: {mode: race}
  onError: {mode: edge}
  tests:
    - name: code goes to the cloud
      given: {request.task: code}
      expect: {rule: code}
    - name: the rest races
      expect: {mode: race}
"""
)
SAFE = SMALL.replace(
    "  rules:\n",
    '  rules:\n    - id: private\n      when: request.sensitivity >= "personal"\n      decide: {mode: edge}\n',
)
SHADOWED = SAFE.replace(
    "  default:", '    - id: late\n      when: request.task in ["code"]\n      decide: {mode: edge}\n  default:'
)
CAN_FAIL = SAFE.replace('request.task == "code"', "10 / request.turns > 20")
FAULTY = SMALL.replace("request.task", "request.tsk", 1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "p.yaml"


def shown(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What a command line without a server prints, on both streams."""
    assert run(["policy", *words]) == code
    out, err = capsys.readouterr()
    return str(err + out)


def printed(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    return json.loads(shown(capsys, *words, "--json", code=code))


# lint -------------------------------------------------------------------------------------------------------------


def test_lint_tells_faults_with_place_caret_and_remedy(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FAULTY, encoding="utf-8")
    out = shown(capsys, "lint", str(file), code=1)
    assert f"{file}:7:21: unknown-name:" in out
    assert f"\n    {' ' * 20}^\n" in out and "try: did you mean request.task?" in out
    assert out.endswith(f"{file}: 1 errors, 0 warnings\n")


def test_lint_tells_what_analysis_finds_and_strict_minds(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SHADOWED, encoding="utf-8")
    out = shown(capsys, "lint", str(file))
    assert f"{file}:12:7: warning: rule-shadowed: this rule never decides: code leaves nothing to it (rule late)" in out
    assert out.endswith(f"{file}: 0 errors, 1 warnings, 1 of 1 invariants proved\n")
    shown(capsys, "lint", str(file), "--strict", code=1)
    assert shown(capsys, "lint", str(file), "--strict", "--no-analysis") == f"{file}: 0 errors, 0 warnings\n"
    file.write_text(SAFE, encoding="utf-8")
    shown(capsys, "lint", str(file), "--strict")


def test_lint_shows_who_breaks_an_invariant(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SMALL, encoding="utf-8")
    out = shown(capsys, "lint", str(file))
    assert "warning: invariant-broken: code may decide cloud" in out and "request.sensitivity=" in out
    assert "0 of 1 invariants proved" in out


def test_lint_shows_facts_that_do_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(CAN_FAIL, encoding="utf-8")
    assert "for example with request.turns=0 (rule code)" in shown(capsys, "lint", str(file))
    other = file.with_name("q.yaml")
    other.write_text(FAULTY, encoding="utf-8")
    found = printed(capsys, "lint", str(file), str(other), code=1)
    first, second = found["files"]
    assert (found["ok"], first["ok"], second["ok"]) == (False, True, False)
    assert "rule-can-fail" in {each["code"] for each in first["analysis"]["findings"]}
    assert [each["code"] for each in second["problems"]] == ["unknown-name"] and second["analysis"] is None


def test_check_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SMALL.replace("expect: {mode: race}", "expect: {mode: edge}"), encoding="utf-8")
    found = printed(capsys, "check", str(file), code=1)
    assert (found["tests"], [each["code"] for each in found["problems"]]) == (2, ["test-failed"])


@pytest.mark.parametrize(
    ("line", "part", "style"),
    [
        ("p.yaml:7:21: unknown-name: no", "unknown-name", "red"),
        ("p.yaml:7:21: warning: rule-shadowed: no", "warning: rule-shadowed", "yellow"),
        ("        ^", "        ^", "bold red"),
        ("    try: this", "    try: this", "green"),
        ("+    when: x", "+    when: x", "green"),
        ("-    when: x", "-    when: x", "red"),
    ],
)
def test_colours(line: str, part: str, style: str) -> None:
    text = coloured([line])
    assert text.plain == line
    spans = {(text.plain[span.start : span.end], str(span.style)) for span in text.spans}
    assert (part, style) in spans | {(text.plain, str(text.style))}


# test -------------------------------------------------------------------------------------------------------------


def test_tests_are_run_and_what_they_leave_out_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SMALL, encoding="utf-8")
    out = shown(capsys, "test", str(file), "--min-coverage", "100")
    assert "2 of 2 tests pass" in out and "coverage 100.0 %: 2 of 2" in out
    file.write_text(SMALL.replace("    - name: the rest races\n      expect: {mode: race}\n", ""), encoding="utf-8")
    assert f'{file}:6:1: never passed over: request.task == "code" (rule code)' in shown(capsys, "test", str(file))
    assert "should show 80 %" in shown(capsys, "test", str(file), "--min-coverage", "80", code=1)


def test_a_failing_test_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SMALL.replace("expect: {mode: race}", "expect: {mode: edge}"), encoding="utf-8")
    assert f"{file}:15: test failed: the rest races: mode should be edge" in shown(capsys, "test", str(file), code=1)
    found = printed(capsys, "test", str(file), code=1)
    assert [test["passed"] for test in found["tests"]] == [True, False] and found["mutation"] is None


def test_mutation_tells_the_changes_that_nobody_noticed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SMALL.replace("expect: {rule: code}", "expect: {fallback: []}"), encoding="utf-8")
    out = shown(capsys, "test", str(file), "--mutate")
    assert "mutation score" in out and f"{file}:" in out and "not noticed:" in out
    found = printed(capsys, "test", str(file), "--mutate", "--changes", "3")
    assert found["mutation"]["tried"] == 3


# diff -------------------------------------------------------------------------------------------------------------


def test_diff_shows_text_and_decisions(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SMALL, encoding="utf-8")
    other = file.with_name("q.yaml")
    other.write_text(SMALL.replace("{mode: cloud}", "{mode: cloud, fallback: edge}"), encoding="utf-8")
    out = shown(capsys, "diff", str(file), str(other))
    assert "-      decide: {mode: cloud}\n+      decide: {mode: cloud, fallback: edge}" in out
    assert "cloud (code) → cloud, then edge (code)\n      for example: request.task=code" in out
    other.write_text(SMALL.replace('== "code"', 'in ["code"]'), encoding="utf-8")
    found = printed(capsys, "diff", str(file), str(other))
    assert (found["same"], found["changes"]) == (True, []) and found["text"]


def test_diff_takes_versions_of_a_server(api: FakeApi, command: Command, file: Path) -> None:
    api.json("GET", "/admin/v1/policies/7", POLICY | {"text": SMALL})
    api.json("GET", "/admin/v1/policies/active", POLICY | {"text": SMALL.replace("mode: race", "mode: edge")})
    out = command("policy", "diff", "7", "active").out
    assert "--- version 7\n+++ the policy in force" in out and "race (default) → edge (default)" in out
    file.write_text(FAULTY, encoding="utf-8")
    done = command("policy", "diff", str(file), "7")
    assert (done.code, done.out) == (1, "") and f"{file}:7:21: unknown-name" in done.err


# explain ----------------------------------------------------------------------------------------------------------


def test_explain_by_a_file_shows_clauses_and_flips(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(seed_text(), encoding="utf-8")
    out = shown(
        capsys, "explain", "--file", str(file), "--fact", "device.battery_pct=5", "--fact", "device.rtt_ms=null"
    )
    assert "mode prefer-cloud by rule low-battery" in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "true device.battery_pct.orValue(100.0) < params.lowBatteryPct device.battery_pct=5.0" in lines
    assert "not looked at variables.cloudReady" in lines
    assert "unreachable not matched variables.rttMs > params.unreachableRttMs device.rtt_ms=null" in lines
    assert "otherwise: device.charging False → True would give race (default)" in lines
    found = printed(capsys, "explain", "--file", str(file))
    assert found["decision"]["mode"] == "race" and found["rules"][0]["clauses"]


def test_a_stream_is_not_explained_by_a_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "known to a server only" in shown(capsys, "explain", "s", "--file", str(file), code=1)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, "request.complexity=null device.rtt_ms=null"),
        ({"request.complexity": 0.5, "device.rtt_ms": 40.0}, "the usual facts"),
        ({"request.complexity": 0.1, "device.rtt_ms": 40.0}, "request.complexity=0.1"),
        ({"device.present": False, "request.complexity": 0.5}, "device.present=false"),
    ],
)
def test_what_is_unusual_is_told(facts: dict[str, Any], told: str) -> None:
    read = ("request.complexity", "device.rtt_ms")
    assert tell_unusual(facts, read) == told.replace("request.complexity=null ", "")


# fmt --------------------------------------------------------------------------------------------------------------

UNTIDY = SMALL.replace('request.task == "code"', "(request.task=='code') # why")
WITH_COMMENT = SMALL.replace('request.task == "code"', "|-\n        request.task=='code' // why")


def test_fmt_prints_checks_and_writes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(UNTIDY, encoding="utf-8")
    tidy = SMALL.replace('== "code"', '== "code" # why')
    assert shown(capsys, "fmt", str(file)) == tidy
    assert file.read_text(encoding="utf-8") == UNTIDY
    assert shown(capsys, "fmt", str(file), "--check", code=1) == f"{file}: 1 expressions in another form\n"
    shown(capsys, "fmt", str(file), "--write")
    assert file.read_text(encoding="utf-8") == tidy
    assert shown(capsys, "fmt", str(file), "--check") == ""
    assert "one of them" in shown(capsys, "fmt", str(file), "--check", "--write", code=1)


def test_fmt_tells_what_it_leaves_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(WITH_COMMENT, encoding="utf-8")
    assert f"{file}:7:13: left alone: it holds a comment" in shown(capsys, "fmt", str(file), "--check")
    found = printed(capsys, "fmt", str(file))["files"][0]
    assert (found["changed"], len(found["left_alone"]), found["text"]) == (0, 1, WITH_COMMENT)


def test_fmt_writes_nothing_when_a_file_has_faults(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(UNTIDY, encoding="utf-8")
    other = file.with_name("q.yaml")
    other.write_text(FAULTY, encoding="utf-8")
    assert "unknown-name" in shown(capsys, "fmt", str(file), str(other), "--write", code=1)
    assert file.read_text(encoding="utf-8") == UNTIDY


# replay -----------------------------------------------------------------------------------------------------------


def test_a_replay_shows_changes_by_rule(api: FakeApi, command: Command) -> None:
    rule = {
        "recorded": {"rule": "default", "mode": "race"}, "replayed": {"rule": "code", "mode": "cloud"},
        "count": 3, "stream_id": "s1", "context": {"request.task": "code", "device.rtt_ms": None},
    }  # fmt: skip
    counts = {"decisions": 5, "unchanged": 2, "other_rule": 0, "errors": 0, "unfaithful": 0}
    api.json("POST", "/admin/v1/policies/replay", {**counts, "changes": [], "rule_changes": [rule]})
    out = " ".join(command("policy", "replay", "3").out.split())
    assert "default (race) code (cloud) 3 request.task=code device.rtt_ms=null s1" in out
