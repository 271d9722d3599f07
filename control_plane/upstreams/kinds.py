"""The engines that are known, as one table: which ids and fields each one takes, how an answer goes on there, where its
health and load are read. Facts about other people's servers live here; docs/adr/0045 says where each was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from edgewise.generation.state import RANK_MAX

KindName = Literal["openai", "vllm", "sglang", "tgi", "llama.cpp", "trtllm", "edgewise"]


@dataclass(frozen=True)
class Gauges:
    """Names of metrics: requests that run, requests that wait, and the share of the KV memory in use ("": not told)."""

    running: str
    waiting: str
    kv_use: str = ""


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """What one engine can do and how that is said.

    prompt_ids: a completion's prompt may be token ids. answer_ids: the fields that make it tell the ids of its answer,
    all of them and in order; empty where it cannot. continues: a chat whose last turn is the assistant's goes on in
    that turn, with the fields of `continuation`. fields: our names of what else it takes (`top_k`, `min_p`,
    `repetition_penalty`, `logit_bias`, `stop_ids`, `salt`, `attempt`) by its own; all of them are sent, since engines
    put the model's or their own defaults in place of what is missing. rank: a rank as its priority. seed_bits: how
    large a seed may be; position_noise: whether its noise depends on the place in the whole answer, so that the same
    seed goes on. health, metrics, abort: paths beside `/v1` ("": none).
    """

    name: KindName
    prompt_ids: bool = False
    answer_ids: Mapping[str, Any] = field(default_factory=dict)
    continues: bool = False
    continuation: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    top_k_off: int = 0
    takes_open_top_p: bool = True
    takes_output_ids: bool = False
    rank: Callable[[int], float] | None = None
    seed_bits: int = 63
    position_noise: bool = False
    health: str = ""
    metrics: str = ""
    gauges: Gauges = field(default_factory=lambda: Gauges("", ""))
    abort: str = ""


_FILTERS: Final = {"top_k": "top_k", "min_p": "min_p", "repetition_penalty": "repetition_penalty"}
_IDS: Final = {"logit_bias": "logit_bias", "stop_ids": "stop_token_ids"}
_OPEN_TURN: Final = {"continue_final_message": True, "add_generation_prompt": False}
_VLLM_GAUGES: Final = Gauges("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")

_KINDS: Final = (
    EngineKind(name="openai", continuation=_OPEN_TURN),
    EngineKind(
        name="vllm",
        prompt_ids=True,
        answer_ids={"return_token_ids": True},
        continues=True,
        continuation=_OPEN_TURN,
        fields=_FILTERS | _IDS | {"salt": "cache_salt"},
        rank=lambda rank: -rank,
        health="/health",
        metrics="/metrics",
        gauges=_VLLM_GAUGES,
    ),
    EngineKind(
        name="sglang",
        prompt_ids=True,
        answer_ids={"return_token_ids": True},
        continues=True,
        continuation={"continue_final_message": True},
        fields=_FILTERS | _IDS | {"salt": "cache_salt", "attempt": "rid"},
        top_k_off=-1,
        rank=lambda rank: rank,
        health="/health",
        metrics="/metrics",
        gauges=Gauges("sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage"),
        abort="/abort_request",
    ),
    EngineKind(
        name="tgi",
        continues=True,
        takes_open_top_p=False,
        health="/health",
        metrics="/metrics",
        gauges=Gauges("tgi_batch_current_size", "tgi_queue_size"),
    ),
    EngineKind(
        name="llama.cpp",
        prompt_ids=True,
        continues=True,
        fields=_FILTERS | {"repetition_penalty": "repeat_penalty", "logit_bias": "logit_bias"},
        seed_bits=31,
        health="/health",
        metrics="/metrics",
        gauges=Gauges("llamacpp:requests_processing", "llamacpp:requests_deferred"),
    ),
    EngineKind(
        name="trtllm",
        prompt_ids=True,
        answer_ids={"detokenize": False},
        fields=_FILTERS | _IDS,
        rank=lambda rank: 0.5 + 0.5 * rank / RANK_MAX,
        health="/health",
        metrics="/prometheus/metrics",
        gauges=Gauges("trtllm_num_requests_running", "trtllm_num_requests_waiting", "trtllm_kv_cache_utilization"),
    ),
    EngineKind(
        name="edgewise",
        prompt_ids=True,
        answer_ids={"return_token_ids": True},
        fields=_FILTERS | {"logit_bias": "logit_bias"},
        takes_output_ids=True,
        position_noise=True,
        health="/health",
        metrics="/metrics",
        gauges=_VLLM_GAUGES,
    ),
)
KINDS: Final[Mapping[KindName, EngineKind]] = {kind.name: kind for kind in _KINDS}
