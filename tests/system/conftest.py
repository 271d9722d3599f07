"""The whole stack as real processes: embedded Valkey, control plane, worker, agent, started by `edgewise up`."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from benchmarks.stack import Stack, running_stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack at full speed for all files that break nothing of it (`ON_ONE_STACK` of tests/dealing.py). It lies in
    the `.edgewise` of a folder of its own, as after `make up`."""
    with running_stack(data_dir=tmp_path_factory.mktemp("checkout") / ".edgewise") as running:
        yield running


@pytest.fixture
def policy_comes_back(stack: Stack) -> Iterator[None]:
    """However a test ends: what it put in force or rolls out is gone before another one asks the stack."""
    headers = {"authorization": f"Bearer {stack.keys['operator']}"}
    with httpx.Client(base_url=f"{stack.base_url}/admin/v1", headers=headers) as client:
        before = client.get("/policies/active").json()["version"]
        yield
        for rollout in client.get("/policy-rollouts", params={"limit": 1}).json()["items"]:
            client.post(f"/policy-rollouts/{rollout['id']}/roll-back", json={})  # 409 when it is over
        if client.get("/policies/active").json()["version"] != before:
            client.post(f"/policies/{before}/activate", json={}).raise_for_status()


@pytest.fixture(scope="module")
def slow_stack() -> Iterator[Stack]:
    """A stack for tests that kill parts of it: its supervisor mends what they break, and its tiers are throttled so
    that there is a mid-answer."""
    with running_stack("--throttle-edge", "40", "--throttle-cloud", "40") as running:
        yield running
