"""An operator edits the policy while the stack runs: checked, active at once for requests and devices, rolled back."""

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.stack import Stack
from tests.system.reading import ask

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("policy_comes_back")]


def edgewise(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgewise.cli.main", *arguments, "--data-dir", str(stack.data_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_edit_check_apply_see_roll_back(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "my-policy.yaml"
    shown = edgewise(stack, "policy", "show")
    assert shown.returncode == 0
    first_rule = "  rules:\n"
    mine = (
        "    - id: all-to-the-cloud\n      when: request.complexity >= 0.0\n      decide: {mode: cloud, reason: 演示}\n"
    )
    # The policy's own tests expect the old rules, so this demonstration drops them.
    file.write_text(shown.stdout.partition("  tests:")[0].replace(first_rule, first_rule + mine), encoding="utf-8")

    checked = subprocess.run([sys.executable, "-m", "edgewise.cli.main", "policy", "check", str(file)], timeout=60)
    assert checked.returncode == 0
    applied = edgewise(stack, "policy", "apply", str(file))
    assert applied.returncode == 0, applied.stderr
    reading = ask(stack, max_tokens=4)
    assert reading.chunks[0]["edgewise"]["rule"] == "all-to-the-cloud"
    assert reading.chunks[0]["edgewise"]["reason"] == "演示"

    assert edgewise(stack, "policy", "rollback").returncode == 0
    assert ask(stack, max_tokens=4).chunks[0]["edgewise"]["rule"] != "all-to-the-cloud"


def test_a_bad_policy_changes_nothing_and_says_where(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    text = edgewise(stack, "policy", "show").stdout
    file.write_text(text.replace("request.needs_fresh\n", "request.needs_fish\n", 1), encoding="utf-8")
    before = active_digest(stack)
    refused = edgewise(stack, "policy", "apply", str(file))
    assert refused.returncode == 1
    assert "needs_fresh" in refused.stdout + refused.stderr  # did you mean
    assert "Traceback" not in refused.stderr
    assert active_digest(stack) == before


def test_explain_says_what_would_have_flipped_it(stack: Stack) -> None:
    reading = ask(stack, max_tokens=3)
    explained = edgewise(stack, "policy", "explain", reading.sid)
    assert explained.returncode == 0, explained.stderr
    assert reading.chunks[0]["edgewise"]["rule"] in explained.stdout


def test_the_device_takes_the_new_policy(stack: Stack, tmp_path: Path) -> None:
    """The agent decides by the policy in force for its own apps."""
    file = tmp_path / "named.yaml"
    text = edgewise(stack, "policy", "show").stdout
    file.write_text(text.replace("name: seed", "name: for-devices-too", 1), encoding="utf-8")
    assert edgewise(stack, "policy", "apply", str(file)).returncode == 0
    digest = active_digest(stack)
    with httpx.Client(base_url=stack.edge_url) as client:
        while not digest.startswith(client.get("/healthz").json()["policy"]):
            time.sleep(0.05)
        body = {"model": "edgewise", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
        answer = client.post("/v1/chat/completions", json=body, timeout=60).json()
    assert digest.startswith(answer["edgewise"]["policy"])
    assert edgewise(stack, "policy", "rollback").returncode == 0


def active_digest(stack: Stack) -> str:
    headers = {"authorization": f"Bearer {stack.keys['operator']}"}
    digest: str = json.loads(httpx.get(f"{stack.base_url}/admin/v1/policies/active", headers=headers).text)["digest"]
    return digest
