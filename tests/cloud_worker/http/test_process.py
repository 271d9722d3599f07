"""The worker as a process of its own: the stock client, a stop in mid-answer, the next process that goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.factories.models import write_tiny_model
from tests.factories.tokenizers import tiny_tokenizer

pytestmark = pytest.mark.system
SERVES = re.compile(r"serves at (http://\S+)")
WITH_IDS = {"return_token_ids": True}
AS_JSON = {"accept": "application/json"}
ASKED: dict[str, Any] = {"model": "tiny-cloud", "prompt": "hi 你好", "max_tokens": 40, "seed": 4}


def start(directory: Path, *flags: str, **settings: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgewise.cli.main", "worker", "--model", str(directory / "model"), *flags]
    command += ["--data-dir", str(directory / "data")]
    environ = os.environ | {"OMP_NUM_THREADS": "1"} | settings
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ)


def address(process: subprocess.Popen[str]) -> str:
    """Read the log up to where it is ready."""
    assert process.stderr is not None
    url = ""
    for line in process.stderr:
        if found := SERVES.search(line):
            url = found.group(1)
        if "ready with tiny-cloud" in line:
            return url
    raise AssertionError("the worker never became ready")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    write_tiny_model(tmp_path / "model")
    return tmp_path


def test_a_worker_alone_answers_is_stopped_and_goes_on(model: Path) -> None:
    first = start(model, "--http", "127.0.0.1:0", "--throttle", "40", EDGEWISE_WORKER_DRAIN_S="0.1")
    url = address(first)
    with httpx.stream("POST", f"{url}/v1/completions", json={**ASKED, "stream": True}, trust_env=False) as response:
        lines = response.iter_lines()
        seen = [line for line, _ in zip(lines, range(12), strict=False)]
        first.send_signal(signal.SIGTERM)
        seen += list(lines)
    told = first.communicate(timeout=30)[1]
    assert first.returncode == 0 and "Traceback" not in told and "你好" not in told
    assert any("shutting_down" in line for line in seen) and response.status_code == 200
    second = start(model, "--http", "127.0.0.1:0")
    try:
        base = address(second)
        sid = response.headers["x-edgewise-stream-id"]
        with httpx.Client(trust_env=False, timeout=30) as http:
            resumed = http.get(f"{base}/v1/streams/{sid}", headers=AS_JSON).json()
            page = http.get(f"{base}/metrics").text
            with openai.OpenAI(base_url=f"{base}/v1", api_key="any", max_retries=0) as client:
                whole = client.completions.create(**ASKED)
                ids = list(tiny_tokenizer().encode(ASKED["prompt"]))
                by_ids = client.completions.create(**ASKED | {"prompt": ids, "extra_body": WITH_IDS})
                said = (by_ids.choices[0].model_extra or {})["token_ids"]
                rest = client.completions.create(**ASKED, extra_body=WITH_IDS | {"output_ids": said[:7]})
                chat = client.chat.completions.create(
                    model="tiny-cloud", messages=[{"role": "user", "content": "hi"}], n=2, seed=1, max_tokens=12
                )
                with pytest.raises(openai.NotFoundError):
                    client.completions.create(**ASKED | {"model": "other"})
    finally:
        second.kill()
        second.communicate()
    assert resumed["choices"][0]["message"]["content"] == whole.choices[0].text == by_ids.choices[0].text
    assert said[7:] == (rest.choices[0].model_extra or {})["token_ids"] and len(said) > 7
    assert chat.choices[0].message.content != chat.choices[1].message.content
    assert 'vllm:num_requests_running{model_name="tiny-cloud"} 0' in page
