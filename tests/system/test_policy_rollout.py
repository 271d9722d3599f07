"""An operator rolls a policy out on a running stack: a gate or a person takes it back, or it comes into force."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.stack import POLL_S, Stack
from tests.system.reading import PLAIN, ask
from tests.system.test_policy_live import active_digest, edgewise

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("policy_comes_back")]
PATIENCE_S = 60.0
PLAN = """\
apiVersion: edgewise/v1
kind: PolicyRollout
metadata: {{name: all-to-the-cloud}}
spec:
  policy: {policy}
  by: {by}
  stages: {stages}
  gates: {gates}
"""
RULE = "    - id: all-to-the-cloud\n      when: request.complexity >= 0.0\n      decide: {mode: cloud, reason: all}\n"


@pytest.fixture
def candidate(stack: Stack, tmp_path: Path) -> str:
    """A saved version whose first rule sends everything to the cloud, as rollouts name it."""
    file = tmp_path / "candidate.yaml"
    text = edgewise(stack, "policy", "show").stdout.partition("  tests:")[0]
    text = text.replace("name: seed", "name: candidate", 1).replace("  rules:\n", f"  rules:\n{RULE}", 1)
    file.write_text(text, encoding="utf-8")
    saved = edgewise(stack, "policy", "save", str(file))
    assert saved.returncode == 0, saved.stderr
    return saved.stdout.split()[1]


def staged(stack: Stack, folder: Path, policy: str, by: str, stages: str, gates: str = "{}") -> None:
    file = folder / "rollout.yaml"
    file.write_text(PLAN.format(policy=policy, by=by, stages=stages, gates=gates), encoding="utf-8")
    done = edgewise(stack, "policy", "rollout", "stage", str(file))
    assert done.returncode == 0, done.stderr


def rule_of(stack: Stack) -> str:
    rule: str = ask(stack, max_tokens=2).chunks[0]["edgewise"]["rule"]
    return rule


def wait_for_device(stack: Stack, digest: str) -> None:
    """Until the device decides by the policy with this digest."""
    deadline = time.monotonic() + PATIENCE_S
    while not digest.startswith(httpx.get(f"{stack.edge_url}/healthz", **PLAIN).json()["policy"]):
        assert time.monotonic() < deadline, stack.log_tails()
        time.sleep(POLL_S)


def digest_of(stack: Stack, policy: str) -> str:
    headers = {"authorization": f"Bearer {stack.keys['operator']}"}
    version = policy.partition("@")[2]
    digest: str = httpx.get(f"{stack.base_url}/admin/v1/policies/{version}", headers=headers).json()["digest"]
    return digest


def test_a_failing_gate_rolls_it_back_while_somebody_watches(stack: Stack, candidate: str, tmp_path: Path) -> None:
    before = active_digest(stack)
    stages = "[{mode: shadow, for: 1h}, {mode: enforce, percent: 100}]"
    staged(stack, tmp_path, candidate, "request.tenant", stages, '{decisionChange: "<= 1%"}')
    refused = edgewise(stack, "policy", "activate", "1")
    assert refused.returncode == 1 and "edgewise policy rollout roll-back" in refused.stderr
    words = [sys.executable, "-m", "edgewise.cli.main", "policy", "rollout", "watch", "--data-dir", str(stack.data_dir)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watching:
        while watching.poll() is None:
            assert rule_of(stack) != "all-to-the-cloud"
        assert watching.stdout is not None
        seen = watching.stdout.read()
    assert watching.returncode == 3
    assert "is rolled-back: decisionChange: " in seen.splitlines()[-1]
    assert active_digest(stack) == before and rule_of(stack) != "all-to-the-cloud"
    shown = edgewise(stack, "policy", "rollout", "show").stdout
    assert "compared" in shown and "allowed is <= 1%" in shown


def test_a_device_in_the_share_has_the_candidate_until_a_person_takes_it_back(
    stack: Stack, candidate: str, tmp_path: Path
) -> None:
    before = active_digest(stack)
    staged(stack, tmp_path, candidate, "device.id", "[{mode: enforce, percent: 100, for: 1h}]")
    wait_for_device(stack, digest_of(stack, candidate))
    assert active_digest(stack) == before
    assert edgewise(stack, "policy", "rollout", "roll-back", "--why", "seen enough").returncode == 0
    wait_for_device(stack, before)


def test_what_goes_well_comes_into_force(stack: Stack, candidate: str, tmp_path: Path) -> None:
    before = active_digest(stack)
    stages = "[{mode: shadow, for: 1s}, {mode: enforce, percent: 100}]"
    staged(stack, tmp_path, candidate, "request.tenant", stages)
    watched = edgewise(stack, "policy", "rollout", "watch")
    assert watched.returncode == 0, watched.stderr
    assert watched.stdout.splitlines()[-1].endswith("is done: all stages are over")
    assert rule_of(stack) == "all-to-the-cloud"
    wait_for_device(stack, digest_of(stack, candidate))
    assert edgewise(stack, "policy", "rollback").returncode == 0
    wait_for_device(stack, before)
