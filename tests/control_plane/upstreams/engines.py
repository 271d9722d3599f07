"""Streams and metrics as other engines send them, served by a real HTTP server on loopback.

Shapes were read in the engines' own sources: vLLM 0.32.0 (entrypoints/openai, v1/metrics/loggers.py) and seen from it;
SGLang (srt/entrypoints/openai/serving_completions.py at 004c82e, docs: production metrics); text-generation-inference
3.3.7 (router/src, docs/source/reference/metrics.md); llama.cpp (tools/server/server-task.cpp at 00efb3e, README at
00dc805); TensorRT-LLM (tensorrt_llm/serve/postprocess_handlers.py at 01bf192, openai_protocol.py at 0076e93).
"""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from control_plane.upstreams.http_client import HttpClient
from control_plane.upstreams.kinds import KINDS, KindName
from control_plane.upstreams.openai_tier import OpenAITier
from control_plane.upstreams.speech import Tokens, Upstream
from tests.factories.http_servers import Peer, chunked, http_server, response
from tests.factories.tokenizers import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
LABELS = 'model_name="org/m",engine="0"'
METRICS: dict[KindName, str] = {
    "vllm": f"# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
    f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{{{LABELS}}} 3.0\n"
    f"vllm:num_requests_waiting{{{LABELS}}} 2.0\n"
    f'vllm:num_requests_waiting_by_reason{{{LABELS},reason="capacity"}} 2.0\n'
    f"vllm:kv_cache_usage_perc{{{LABELS}}} 0.5\n",
    "sglang": 'sglang:num_running_reqs{model_name="org/m"} 3.0\nsglang:num_queue_reqs{model_name="org/m"} 2.0\n'
    'sglang:token_usage{model_name="org/m"} 0.5\n',
    "tgi": "# TYPE tgi_batch_current_size gauge\ntgi_batch_current_size 3\n\n# TYPE tgi_queue_size gauge\n"
    "tgi_queue_size 2\n",
    "llama.cpp": "# TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing 3\n"
    "llamacpp:requests_deferred 2\n",
    "trtllm": 'trtllm_num_requests_running{model_name="m"} 3.0\ntrtllm_num_requests_waiting{model_name="m"} 2.0\n'
    'trtllm_kv_cache_utilization{model_name="m"} 0.5\n',
}


def _completion(index: int, **choice: Any) -> dict[str, Any]:
    return {"id": "cmpl-1", "object": "text_completion", "choices": [{"index": index, "logprobs": None} | choice]}


def id_stream(kind: KindName, parts: Sequence[Sequence[int]], finish: str, eos: int | None) -> list[dict[str, Any]]:
    """A stream of /v1/completions that tells ids, part by part; the end-of-sequence id comes with the finish."""
    texts = shown_parts(parts)
    events = []
    for place, (part, text) in enumerate(zip(parts, texts, strict=True)):
        last = place == len(parts) - 1
        ids = [*part, *([eos] if last and eos is not None and kind != "edgewise" else [])]
        told: dict[str, Any] = {"text": "" if kind == "trtllm" else text, "token_ids": ids}
        if kind == "vllm":
            told |= {"stop_reason": None} | ({"prompt_token_ids": [5]} if place == 0 else {})
        if kind == "sglang":
            told |= {"matched_stop": eos if last else None}
        events.append(_completion(0, **told, finish_reason=finish if last and kind != "edgewise" else None))
    if kind == "edgewise":
        events.append(_completion(0, text="", token_ids=[], finish_reason=finish))
    return events


def shown_parts(parts: Sequence[Sequence[int]]) -> list[str]:
    """What an engine shows of ids, part by part: a character as soon as it is whole."""
    whole = codecs.getincrementaldecoder("utf-8")(errors="ignore")
    return [whole.decode(b"".join(map(TOKENIZER.token_bytes, part))) for part in parts]


def chat(kind: KindName, texts: Sequence[str], finish: str) -> list[dict[str, Any]]:
    """A stream of chat chunks with each engine's additions."""
    first: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    if kind == "llama.cpp":
        first["delta"]["content"] = None
    choices = [first]
    choices += [{"index": 0, "delta": {"content": text}, "finish_reason": None} for text in texts]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    own: dict[KindName, dict[str, Any]] = {
        "vllm": {"stop_reason": None, "token_ids": None},
        "sglang": {"matched_stop": None},
        "tgi": {"logprobs": None},
    }
    return [{"id": "c", "object": "chat.completion.chunk", "choices": [each | own.get(kind, {})]} for each in choices]


def text_completion(texts: Sequence[str], finish: str) -> list[dict[str, Any]]:
    """llama.cpp's stream of /v1/completions: text only."""
    events = [_completion(0, text=text, finish_reason=None) for text in texts]
    return [*events, _completion(0, text="", finish_reason=finish)]


@dataclass
class Engine:
    """Answers POSTs with `events` (or `status` and `body`), GETs by `pages`; remembers what it was asked."""

    events: Sequence[object] = ()
    status: int = 200
    body: bytes = b"{}"
    headers: tuple[str, ...] = ()
    pages: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    hang: bool = False
    done: bool = True
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def script(self, peer: Peer) -> None:
        while True:
            head, sent = await peer.request()
            method, path, _ = head.split(" ", 2)
            self.heads.append(head)
            if method == "GET":
                status, page = self.pages.get(path, (404, b"no such page"))
                await peer.send(response(page, status=f"{status} X"))
                continue
            self.asked.append((path, json.loads(sent)))
            if path == "/abort_request":
                await peer.send(response())
            elif self.status != 200:
                await peer.send(response(self.body, *self.headers, status=f"{self.status} X"))
            else:
                await self._stream(peer)

    async def _stream(self, peer: Peer) -> None:
        lines = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in self.events]
        stream = "".join(f"data: {line}\n\n" for line in [*lines, *(["[DONE]"] if self.done else [])]).encode()
        wire = chunked(*(stream[start : start + 23] for start in range(0, len(stream), 23)))
        if self.hang:
            await peer.send(wire[:-5])
            await peer.gone()
            self.hung_up.set()
        await peer.send(wire)


@asynccontextmanager
async def tier_for(engine: Engine, kind: KindName, *, ids: bool = False) -> AsyncIterator[OpenAITier]:
    """The engine as a tier; with the test tokenizer's ids if they are wanted."""
    tokens = Tokens(TOKENIZER, 256) if ids else None
    async with http_server(engine.script) as server, HttpClient(linger_s=60) as http:
        tier = OpenAITier(Upstream("up", server.url(), "big", "sk-made-up", KINDS[kind], tokens=tokens), http)
        yield tier
        await tier.settle()
