"""An app asks its device; the operator sees that it was answered, by which rule and how fast, and no word of it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.stack import POLL_S, Stack
from tests.system.reading import ENDLESS

pytestmark = pytest.mark.system
MARKER = "somnolent-pelican"
PATIENCE_S = 30.0


@contextmanager
def operator(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {stack.keys['operator']}"}
    with httpx.Client(base_url=stack.base_url, headers=headers) as client:
        yield client


def ask_device(stack: Stack, content: str, **fields: Any) -> dict[str, Any]:
    body = {"model": "edgewise", "messages": [{"role": "user", "content": content}], "max_tokens": 8} | ENDLESS
    answer = httpx.post(f"{stack.edge_url}/v1/chat/completions", json=body | fields, timeout=60)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def files_that_hold(stack: Stack, word: str) -> list[Path]:
    """Files of the whole stack; those of the agent's token log, on the device, may."""
    return [path for path in stack.data_dir.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


def decision_of(stack: Stack, sid: str) -> httpx.Response:
    """The decision's page once the device has told how the answer ended."""
    deadline = time.monotonic() + PATIENCE_S
    with operator(stack) as client:
        while True:
            page = client.get(f"/admin/v1/decisions/{sid}")
            if page.status_code == 200 and page.json()["status"] != "running":
                return page
            assert time.monotonic() < deadline, f"no decision of the device came: {page.text}\n{stack.log_tails()}"
            time.sleep(POLL_S)


def test_a_decision_of_a_device_is_seen_without_its_words(stack: Stack) -> None:
    told = ask_device(stack, f"Hello {MARKER}", edgewise={"sensitivity": "personal", "device": MARKER})
    page = decision_of(stack, told["edgewise"]["stream"])
    decision = page.json()
    assert (decision["origin"], decision["status"], decision["finish"]) == ("device", "done", "length")
    assert (decision["mode"], decision["rule"]) == (told["edgewise"]["mode"], told["edgewise"]["rule"])
    assert decision["last_tier"] == "edge:edge-0" and decision["completion_tokens"] == 8
    assert decision["facts"]["device.id"] == "edge-0"
    assert decision["facts"]["request.sensitivity"] == "personal"
    with operator(stack) as client:
        listed = client.get("/admin/v1/decisions", params={"origin": "device"})
        telemetry = client.get("/admin/v1/nodes/edge-0/telemetry", params={"kind": "decision"})
        key_id = client.get("/admin/v1/nodes/edge-0").json()["key_id"]
    assert decision["stream_id"] in {item["stream_id"] for item in listed.json()["items"]}
    assert decision["key_id"] == key_id
    assert decision["stream_id"] in {item["values"]["stream"] for item in telemetry.json()["items"]}
    for seen in (page, listed, telemetry):
        assert MARKER not in seen.text
    assert {path.name for path in files_that_hold(stack, MARKER)} <= {"streams.sqlite3", "streams.sqlite3-wal"}
    assert not [path for path in files_that_hold(stack, MARKER) if "agent" not in path.parts]


def test_the_status_command_shows_it(stack: Stack) -> None:
    sid = ask_device(stack, "Hi.")["edgewise"]["stream"]
    decision_of(stack, sid)
    command = [sys.executable, "-m", "edgewise.cli.main", "status", "--json", "--data-dir", str(stack.data_dir)]
    shown = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert sid in {stream["stream_id"] for stream in shown["streams"]}
