"""What a gateway's scheduler scrapes from a model server: queue, running, KV use, prefix reuse, adapters.

Types, meanings and (vLLM's) names are those of the Gateway API inference extension's Model Server Protocol, proposal
003, whose endpoint picker looks for these names unless it is told otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgewise.node.engine import EngineStats
from edgewise.routing.tier import Load


def kv_use(stats: EngineStats) -> float:
    """The share of the KV memory that is taken, 0 to 1; of the slots, where an engine does not tell its capacity."""
    if stats.kv_capacity_bytes:
        return min(1.0, stats.kv_bytes / stats.kv_capacity_bytes)
    return min(1.0, stats.running / stats.slots) if stats.slots else 0.0


def protocol_text(model: str, stats: EngineStats, load: Load, now: float) -> bytes:
    """Prometheus text (exposition format 0.0.4). `now` is Unix time; no adapters are served."""
    return ("\n".join(_lines(model, stats, load, now)) + "\n").encode()


def _lines(model: str, stats: EngineStats, load: Load, now: float) -> Iterator[str]:
    named = f'{{model_name="{_escaped(model)}"}}'
    read = stats.prompt_tokens + stats.reused_tokens
    for name, kind, about, value in (
        ("num_requests_waiting", "gauge", "Requests in the queue", load.queued),
        ("num_requests_running", "gauge", "Requests that have a slot", load.running),
        ("kv_cache_usage_perc", "gauge", "KV memory in use, 1 is all of it", kv_use(stats)),
        ("prefix_cache_queries_total", "counter", "Prompt tokens, read or reused", read),
        ("prefix_cache_hits_total", "counter", "Prompt tokens that were reused", stats.reused_tokens),
        ("prompt_tokens_total", "counter", "Prompt tokens that were read", stats.prompt_tokens),
        ("generation_tokens_total", "counter", "Tokens that were said", stats.output_tokens),
        ("spec_decode_num_draft_tokens_total", "counter", "Tokens that were drafted", stats.drafted),
        ("spec_decode_num_accepted_tokens_total", "counter", "Drafted tokens that held", stats.accepted),
    ):
        yield f"# HELP vllm:{name} {about}"
        yield f"# TYPE vllm:{name} {kind}"
        yield f"vllm:{name}{named} {value:.12g}"
    yield "# HELP vllm:lora_requests_info Adapters; the value is when it was told"
    yield "# TYPE vllm:lora_requests_info gauge"
    adapters = 'max_lora="0",running_lora_adapters="",waiting_lora_adapters=""'
    yield f"vllm:lora_requests_info{{{adapters}}} {now:.3f}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
