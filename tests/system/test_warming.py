"""The most used system prompts are read by idle nodes before anybody asks again."""

import time

import httpx
import pytest

from benchmarks.stack import Stack
from tests.system.reading import ask

pytestmark = pytest.mark.system
SYSTEM = (
    "You are a patient helper in a library. Answer in one sentence, name the shelf, and never guess. 请用一句话回答。"
    * 4
)
WITHIN_S = 30.0


def test_popular_prompts_are_warmed_on_both_kinds_of_nodes(stack: Stack) -> None:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Hello"}]
    for _ in range(2):
        ask(stack, messages=messages, max_tokens=2, edgewise={"mode": "edge"})
    headers = {"authorization": f"Bearer {stack.keys['operator']}"}
    with httpx.Client(base_url=stack.base_url, headers=headers) as client:
        answer = client.post("/admin/v1/jobs", json={"kind": "warm_caches"})
        answer.raise_for_status()
        job, give_up_at = answer.json(), time.monotonic() + WITHIN_S
        while job["state"] not in ("done", "dead") and time.monotonic() < give_up_at:
            time.sleep(0.05)
            job = client.get(f"/admin/v1/jobs/{job['id']}").json()
    assert (job["state"], job["result"]) == ("done", {"warmed": 2})
