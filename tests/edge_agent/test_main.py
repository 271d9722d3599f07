"""The process itself: what it imports, how it starts, serves the stock OpenAI client, stops, and refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import openai
import pytest

from edgewise.local.supervisor import CONFIG_EXIT_CODE

HEAVY = {"torch", "transformers", "sqlalchemy", "fastapi", "starlette", "celery", "redis"} | {
    "control_plane",
    "cloud_worker",
}
READY = re.compile(r"ready at (http://\S+)")


def start(*flags: str, **settings: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgewise.cli.main", "agent", *flags]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", **settings}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environ)


def address(log: IO[str] | None) -> str:
    """Read the log up to the readiness line."""
    assert log is not None
    for line in log:
        if found := READY.search(line):
            return found.group(1)
    raise AssertionError("the agent never became ready")


@pytest.fixture
def agent(tiny_dir: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = start("--model", str(tiny_dir), "--data-dir", str(tmp_path / "d"), "--local-port", "0")
    yield process
    process.kill()
    process.communicate()


def test_the_agent_needs_nothing_heavy() -> None:
    probe = "import sys, edge_agent.main; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"onnxruntime", "edge_agent"} <= loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_stock_client_talks_to_it_and_it_stops_cleanly(agent: subprocess.Popen[str]) -> None:
    with openai.OpenAI(base_url=f"{address(agent.stderr)}/v1", api_key="any", max_retries=0) as client:
        whole = client.chat.completions.create(
            model="edgewise", messages=[{"role": "user", "content": "hi 你好"}], max_tokens=6, seed=2
        )
        stream = client.chat.completions.create(
            model="edgewise", messages=[{"role": "user", "content": "hi 你好"}], max_tokens=6, seed=2, stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert text == whole.choices[0].message.content and text
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="none", messages=[{"role": "user", "content": "hi"}])
    agent.send_signal(signal.SIGTERM)
    rest = agent.communicate(timeout=20)[1]
    assert agent.returncode == 0
    assert "Traceback" not in rest and "ERROR" not in rest
    assert "你好" not in rest


def test_an_agent_that_was_killed_comes_back_and_the_answer_goes_on(tiny_dir: Path, tmp_path: Path) -> None:
    flags = ["--model", str(tiny_dir), "--data-dir", str(tmp_path / "d"), "--local-port", "0"]
    flags += ["--throttle", "60"]
    body = {"model": "edgewise", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 40, "seed": 4}
    first = start(*flags, EDGEWISE_AGENT_LEASE_S="0.4")
    url = f"{address(first.stderr)}/v1/chat/completions"
    with httpx.stream("POST", url, json={**body, "stream": True}, trust_env=False) as response:
        seen = [line for line, _ in zip(response.iter_lines(), range(12), strict=False)]
        first.kill()
    first.communicate()
    cursor = [line for line in seen if line.startswith("id: ")][-1].removeprefix("id: ")
    second = start(*flags, EDGEWISE_AGENT_LEASE_S="0.4")
    try:
        base = address(second.stderr)
        sid = response.headers["x-edgewise-stream-id"]
        with httpx.Client(base_url=base, trust_env=False, timeout=30.0) as client:
            whole = content(client.get(f"/v1/streams/{sid}").text)
            tail = content(client.get(f"/v1/streams/{sid}", params={"after": cursor}).text)
            undisturbed = client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]
    finally:
        second.kill()
        second.communicate()
    assert whole == undisturbed and content("\n".join(seen)) + tail == undisturbed and 0 < len(tail) < len(whole)


def content(events: str) -> str:
    """The text of a stream's chunks."""
    data = [line.removeprefix("data: ") for line in events.splitlines() if line.startswith("data: {")]
    choices = [choice for chunk in map(json.loads, data) for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content", "") for choice in choices)


def test_a_missing_model_ends_with_a_sentence_and_no_traceback(tmp_path: Path) -> None:
    process = start("--model", str(tmp_path / "none"), "--data-dir", str(tmp_path / "d"), "--local-port", "0")
    told = process.communicate(timeout=30)[1]
    assert process.returncode == CONFIG_EXIT_CODE
    assert "There is no model in" in told and "make reference-models" in told and "Traceback" not in told
