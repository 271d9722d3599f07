"""Tiers are killed in mid-answer. The text goes on, nothing is lost or doubled, and there is one end."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from benchmarks.stack import Stack
from tests.system.reading import ENDLESS, PLAIN, Reading, ask, replay
from tests.system.test_gateways import eventually

pytestmark = pytest.mark.system
TOKENS = 90
GREEDY: dict[str, Any] = {"max_tokens": TOKENS, "temperature": 0} | ENDLESS


@pytest.fixture(scope="module")
def undisturbed(slow_stack: Stack) -> dict[str, str]:
    """What each mode says when nothing happens."""
    return {mode: ask(slow_stack, **GREEDY, edgewise={"mode": mode}).text for mode in ("edge", "cloud")}


@pytest.fixture(autouse=True)
def mended(slow_stack: Stack, undisturbed: dict[str, str]) -> None:
    """What one test broke is there again before the next one begins."""

    def both_nodes() -> bool:
        try:
            return bool(httpx.get(f"{slow_stack.base_url}/readyz", **PLAIN).json()["nodes"] == {"edge": 1, "cloud": 1})
        except httpx.TransportError:
            return False

    eventually(both_nodes, within_s=40)


def kill_when(stack: Stack, plan: list[tuple[int, str]]) -> Callable[[Reading], None]:
    """SIGKILL each child of the plan once that many chunks have come."""
    left = list(plan)

    def on_chunk(seen: Reading) -> None:
        if left and len(seen.chunks) >= left[0][0]:
            os.kill(stack.pid(left.pop(0)[1]), signal.SIGKILL)

    return on_chunk


def whole(stack: Stack, reading: Reading) -> None:
    """One end, no error, and the log says exactly what the client saw."""
    assert reading.errors == []
    assert reading.finishes == ["length"]
    assert reading.done == 1
    sequence = [int(cursor.split("/")[1]) for cursor in reading.cursors]
    assert sorted(sequence) == sequence
    assert reading.chunks[-1]["edgewise"]["tokens"] == TOKENS
    again = replay(stack, reading.sid)
    assert again == reading


def test_the_edge_agent_and_then_the_cloud_worker_die(slow_stack: Stack) -> None:
    harm = kill_when(slow_stack, [(12, "edge-0"), (30, "worker-0")])
    reading = ask(slow_stack, harm, **GREEDY, edgewise={"mode": "prefer-edge"})
    assert reading.tiers[:2] == ["edge:edge-0", "cloud:worker-0"]
    assert len(reading.tiers) == 3
    whole(slow_stack, reading)


def test_cloud_to_cloud_greedy_equals_the_undisturbed_answer(slow_stack: Stack, undisturbed: dict[str, str]) -> None:
    with second_worker(slow_stack) as second:
        pids = {"cloud:worker-0": slow_stack.pid("worker-0"), "cloud:worker-1": second.pid}
        killed: list[str] = []

        def kill_the_speaker(seen: Reading) -> None:
            if not killed and len(seen.chunks) >= 20:
                killed.append(seen.tiers[-1])
                os.kill(pids[killed[0]], signal.SIGKILL)

        reading = ask(slow_stack, kill_the_speaker, **GREEDY, edgewise={"mode": "cloud"})
    assert len(reading.tiers) == 2
    assert reading.tiers[0] != reading.tiers[1]
    assert reading.text == undisturbed["cloud"]
    whole(slow_stack, reading)


def test_the_only_tier_that_may_speak_comes_back(slow_stack: Stack, undisturbed: dict[str, str]) -> None:
    """Mode edge has no other tier: the answer waits for the supervisor's restart, and goes on."""
    reading = ask(slow_stack, kill_when(slow_stack, [(15, "edge-0")]), **GREEDY, edgewise={"mode": "edge"})
    assert reading.tiers == ["edge:edge-0", "edge:edge-0"]
    assert reading.text == undisturbed["edge"]
    whole(slow_stack, reading)


@contextlib.contextmanager
def second_worker(stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    """Another worker beside the stack's own, connected when the block begins."""
    from edgewise.local.models import find_model

    command = [sys.executable, "-m", "edgewise.cli.main", "worker", "--url", stack.base_url, "--name", "worker-1"]
    command += ["--key-file", str(stack.data_dir / "keys.json"), "--model", str(find_model("cloud").path)]
    command += ["--data-dir", str(stack.data_dir / "worker-1"), "--throttle", "40"]
    with (stack.data_dir / "logs" / "worker-1.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            stack.wait_for_node("worker-1", process)
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.mark.soak
def test_the_token_log_is_killed_and_nothing_acknowledged_is_lost(
    slow_stack: Stack, undisturbed: dict[str, str]
) -> None:
    """The log server comes back from its append-only file; the runner sends again what was in doubt. Every run holds
    this in tests/chaos ("token log", "token log and its keeper")."""
    reading = ask(slow_stack, kill_when(slow_stack, [(15, "token-log")]), **GREEDY, edgewise={"mode": "edge"})
    assert reading.text == undisturbed["edge"]
    whole(slow_stack, reading)


def test_the_control_plane_is_killed_and_the_client_comes_back_with_its_cursor(
    slow_stack: Stack, undisturbed: dict[str, str]
) -> None:
    """The supervisor starts a new gateway, which takes the orphaned stream up from its log."""
    seen = Reading()

    def watch(reading: Reading) -> None:
        seen.chunks, seen.cursors, seen.sid = reading.chunks, reading.cursors, reading.sid
        if len(reading.chunks) == 20:
            os.kill(slow_stack.pid("control"), signal.SIGKILL)

    restarts = len(slow_stack.events)
    with pytest.raises(httpx.RemoteProtocolError):
        ask(slow_stack, watch, **GREEDY, edgewise={"mode": "edge"})
    slow_stack.wait_for(
        lambda event: event.get("child") == "control" and event["event"] == "child_ready", since=restarts
    )
    rest = replay(slow_stack, seen.sid, seen.cursors[-1])
    assert seen.text + rest.text == undisturbed["edge"]
    assert rest.errors == []
    assert rest.finishes == ["length"]
    assert replay(slow_stack, seen.sid).text == undisturbed["edge"]
