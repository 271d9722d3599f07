"""Agreement of an exported graph with the torch weights that it was made from, on reference answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer

from cloud_worker.forge.curriculum import examination
from cloud_worker.forge.evaluate.examining import EXAMINATION_SEED, answer_ids, prompt_ids
from cloud_worker.forge.qwen2 import Qwen2
from cloud_worker.forge.stepping import rows_after
from edgewise.graphs import CacheRow, Logits


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often the exported graph picks torch's token, over `rows` answer positions, and the largest logit gap."""

    rows: int
    argmax: float
    largest_gap: float


def agreement(row: CacheRow, torch_model: Qwen2, tokenizer: Tokenizer, exercises: int) -> Agreement:
    """Compare both on every answer position of `exercises` conversations, fed token by token as in decoding."""
    same, rows, gap = 0, 0, 0.0
    everything = list(examination(EXAMINATION_SEED + 1, 4, held_out=False))
    for exercise in everything[:: max(1, len(everything) // exercises)]:
        prompt = prompt_ids(tokenizer, exercise)
        ids = [*prompt, *answer_ids(tokenizer, exercise)]
        expected = _torch_rows(torch_model, ids)[len(prompt) - 1 :]
        found = rows_after(row, ids, len(prompt))
        same += int((found.argmax(-1) == expected.argmax(-1)).sum())
        rows += len(expected)
        gap = max(gap, float(np.abs(found - expected).max()))
    return Agreement(rows, same / rows, gap)


@torch.inference_mode()
def _torch_rows(model: Qwen2, ids: list[int]) -> Logits:
    logits: Logits = model(torch.tensor([ids]), torch.arange(len(ids))[None])[0].float().numpy()
    return logits
