"""Two gateways on one token log and one database: relay, either one's death in mid-answer, changes heard at once."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.stack import Gateway, Stack, running_stack, second_gateway
from edgewise.local.models import find_model
from tests.system.reading import ENDLESS, PLAIN, Asked, Reading, ask, replay

pytestmark = pytest.mark.system
TOKENS = 90
SECOND_S = 1.0
CLOSED = """
apiVersion: edgewise/v1
kind: RoutingPolicy
metadata: {name: closed}
spec:
  rules:
    - {id: closed, when: "true", decide: {mode: refuse, reason: closed today}}
  default: {mode: race}
  onError: {mode: edge}
"""
GREEDY: dict[str, Any] = {"max_tokens": TOKENS, "temperature": 0} | ENDLESS


@pytest.fixture(scope="module")
def throttled() -> Iterator[Stack]:
    """One stack for these tests; its supervisor mends what they break."""
    with running_stack("--throttle-edge", "40", "--throttle-cloud", "40") as running:
        yield running


@pytest.fixture(scope="module")
def second(throttled: Stack) -> Iterator[Callable[[], Gateway]]:
    """The second gateway; a new one after a test has killed it."""
    with contextlib.ExitStack() as stack:
        started: list[Gateway] = []

        def alive() -> Gateway:
            if not started or started[-1].process.poll() is not None:
                started.append(stack.enter_context(second_gateway(throttled)))
            started[-1].wait_for_nodes()
            return started[-1]

        yield alive


@pytest.fixture(scope="module")
def undisturbed(throttled: Stack) -> str:
    """What the device says when nothing happens."""
    return ask(throttled, **GREEDY, edgewise={"mode": "edge"}).text


@pytest.fixture
def pair(throttled: Stack, second: Callable[[], Gateway]) -> tuple[Stack, Gateway]:
    """A stack with all nodes at its own gateway, and a second gateway without any."""
    return throttled, second()


def admin(gateway: Asked) -> httpx.Client:
    return httpx.Client(base_url=gateway.base_url, headers={"authorization": f"Bearer {gateway.keys['operator']}"})


def eventually(condition: Callable[[], bool], within_s: float) -> float:
    """Seconds until it holds. Fails when it does not in time."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, "it did not happen in time"
        time.sleep(0.05)
    return time.monotonic() - began


def whole(gateway: Asked, reading: Reading) -> None:
    """One end, no error, and the log says exactly what the client saw."""
    assert (reading.errors, reading.finishes, reading.done) == ([], ["length"], 1)
    assert reading.chunks[-1]["edgewise"]["tokens"] == TOKENS
    assert replay(gateway, reading.sid) == reading


def test_an_answer_through_another_gateways_nodes_and_what_operators_see(pair: tuple[Stack, Gateway]) -> None:
    first, second = pair
    tiers = {"edge": "edge:edge-0", "cloud": "cloud:worker-0"}
    with ThreadPoolExecutor() as pool:
        asked = {
            mode: [pool.submit(ask, gateway, **GREEDY, edgewise={"mode": mode}) for gateway in pair] for mode in tiers
        }
    for mode, tier in tiers.items():
        there, here = (future.result() for future in asked[mode])
        assert here.tiers == there.tiers == [tier]
        assert here.text == there.text
        whole(second, here)
        assert replay(first, here.sid).text == here.text
    with admin(second) as client:
        gateways = client.get("/admin/v1/gateways").json()["items"]
        nodes = client.get("/admin/v1/nodes").json()["items"]
    assert [(each["answering"], each["nodes"]) for each in gateways] == [(True, []), (False, ["edge-0", "worker-0"])]
    assert {node["gateway"] for node in nodes} == {gateways[1]["gateway_id"]}
    assert all("key" not in node for node in nodes)


def test_the_gateway_of_the_nodes_is_killed_and_the_answer_at_the_other_goes_on(
    pair: tuple[Stack, Gateway], undisturbed: str
) -> None:
    """Its nodes come back when it does; what they go on with is in the log."""
    first, second = pair
    killed: list[int] = []

    def kill(seen: Reading) -> None:
        if len(seen.chunks) >= 15 and not killed:
            killed.append(first.pid("control"))
            os.kill(killed[0], signal.SIGKILL)

    reading = ask(second, kill, **GREEDY, edgewise={"mode": "edge"})
    assert killed and reading.errors == []
    assert reading.tiers == ["edge:edge-0", "edge:edge-0"]
    assert reading.text == undisturbed
    whole(second, reading)


def test_the_gateway_that_makes_the_answer_is_killed_and_the_other_takes_it_over(
    pair: tuple[Stack, Gateway], undisturbed: str
) -> None:
    first, second = pair
    seen = Reading()

    def watch(reading: Reading) -> None:
        seen.chunks, seen.cursors, seen.sid = reading.chunks, reading.cursors, reading.sid
        if len(reading.chunks) == 15:
            second.kill()

    with pytest.raises(httpx.RemoteProtocolError):
        ask(second, watch, **GREEDY, edgewise={"mode": "edge"})
    rest = replay(first, seen.sid, seen.cursors[-1])
    assert seen.text + rest.text == undisturbed
    assert (rest.errors, rest.finishes) == ([], ["length"])
    assert replay(first, seen.sid).text == undisturbed


def test_changes_at_one_gateway_hold_at_the_other_within_a_second(pair: tuple[Stack, Gateway], tmp_path: Path) -> None:
    first, second = pair
    with admin(second) as there, admin(first) as here:
        key = there.post("/admin/v1/keys", json={"name": "phone", "roles": ["node", "app"]}).json()
        as_phone = {"authorization": f"Bearer {key['key']}"}

        def is_let_in() -> bool:
            return httpx.get(f"{first.base_url}/v1/models", headers=as_phone, **PLAIN).status_code == 200

        eventually(is_let_in, SECOND_S)
        with agent(first, key["key"], tmp_path):
            eventually(lambda: here.get("/admin/v1/nodes/phone-9").status_code == 200, 60)
            assert there.delete(f"/admin/v1/keys/{key['id']}").status_code == 200
            eventually(lambda: not is_let_in(), SECOND_S)
            eventually(lambda: here.get("/admin/v1/nodes/phone-9").status_code == 404, SECOND_S)

        policy = {"text": CLOSED, "activate": True}
        assert there.post("/admin/v1/policies", json=policy).status_code == 201

        def is_refused() -> bool:
            body = {"model": "edgewise", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
            answer = httpx.post(
                f"{first.base_url}/v1/chat/completions",
                json=body,
                headers={"authorization": f"Bearer {first.keys['app']}"},
                **PLAIN,
            )
            return answer.status_code == 403 and "closed today" in answer.text

        eventually(is_refused, SECOND_S)
        assert there.post("/admin/v1/policies/rollback").status_code == 200
        eventually(lambda: not is_refused(), SECOND_S)


@contextlib.contextmanager
def agent(stack: Stack, key: str, directory: Path) -> Iterator[None]:
    """One more device, with this key."""
    (directory / "key").write_text(key)
    command = [sys.executable, "-m", "edgewise.cli.main", "agent", "--url", stack.base_url, "--name", "phone-9"]
    command += ["--key-file", str(directory / "key"), "--model", str(find_model("edge").path)]
    command += ["--data-dir", str(directory / "agent"), "--local-port", "0"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.kill()
            process.wait()
