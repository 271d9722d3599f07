"""transformers in a process of its own: `python -m benchmarks.cloud_transformers DIR THREADS generate|continuous`.
Asked as edge_process.py says; bfloat16, one padded batch, or its continuous batching.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.cloud_crowd import Crowd
from benchmarks.edge_process import Operation, serve

_PAD = 2


def open_transformers(directory: str, threads: int, way: str) -> dict[str, Operation]:
    """Load the model and give the operations."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    import transformers

    torch.set_num_threads(threads)
    library: Any = transformers  # its own types are too loose to check against
    model = library.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16)
    model.eval()
    model.generation_config.eos_token_id = None
    if way == "continuous":
        model.set_attn_implementation("paged|sdpa")

    def padded(prompts: Sequence[Sequence[int]], tokens: int) -> dict[str, Any]:
        longest = max(map(len, prompts))
        ids = torch.full((len(prompts), longest), _PAD)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        found = Crowd(len(prompts))

        def told(_ids: Any, _scores: Any, **_others: Any) -> Any:
            for number in range(len(prompts)):
                found.said(number)
            return torch.zeros(len(prompts), dtype=torch.bool)

        settings = library.GenerationConfig(
            max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=_PAD, use_cache=True
        )
        with torch.inference_mode():
            model.generate(ids, attention_mask=mask, generation_config=settings, stopping_criteria=[told])
        return found.told()

    def continuous(prompts: Sequence[Sequence[int]], tokens: int) -> dict[str, Any]:
        settings = library.GenerationConfig(
            max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=_PAD, use_cache=True
        )
        found = Crowd(len(prompts))
        answers = model.generate_batch(
            inputs=[list(ids) for ids in prompts], generation_config=settings, progress_bar=False
        )
        for number, answer in enumerate(answers.values()):
            found.said(number, len(answer.generated_tokens))
        return found.told(timed=False)

    return {"crowd": continuous if way == "continuous" else padded}


if __name__ == "__main__":
    serve(lambda: open_transformers(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
