"""The user's model as it came, in torch and float32 through transformers: what the edge version is judged against.

A Decoder like those of evaluate/, for any architecture that is imported. Slow on purpose: one prompt at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cloud_worker.forge.evaluate.decoder import Advance, Forced, Said, no_progress


class ReferenceDecoder:
    """Greedy replies and views of given ones. Needs 4 bytes of memory for each parameter."""

    def __init__(self, directory: Path, end: int, context_tokens: int) -> None:
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        quiet: Any = logging.disable_progress_bar
        quiet()
        self._end = end
        self.context_tokens = context_tokens
        load: Any = AutoModelForCausalLM.from_pretrained
        self._model = load(
            directory, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
        ).eval()

    @property
    def end(self) -> int:
        """See Decoder."""
        return self._end

    def complete(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], advance: Advance = no_progress
    ) -> list[Said]:
        """See Decoder."""
        found = []
        for prompt, limit in zip(prompts, limits, strict=True):
            found.append(self._complete(prompt, limit))
            advance(1)
        return found

    def force(
        self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], advance: Advance = no_progress
    ) -> list[Forced]:
        """See Decoder."""
        found = []
        for prompt, reply in zip(prompts, replies, strict=True):
            found.append(self._force(prompt, reply))
            advance(1)
        return found

    @torch.inference_mode()
    def _complete(self, prompt: Sequence[int], limit: int) -> Said:
        ids, logprobs, past = list[int](), list[float](), None
        given = list(prompt)
        while len(ids) < limit:
            seen = self._model(torch.tensor([given]), past_key_values=past, use_cache=True, logits_to_keep=1)
            row, past = seen.logits[0, -1].double().log_softmax(-1), seen.past_key_values
            token = int(row.argmax())
            logprobs.append(float(row[token]))
            if token == self._end:
                return Said(tuple(ids), tuple(logprobs), True)
            ids.append(token)
            given = [token]
        return Said(tuple(ids), tuple(logprobs), False)

    @torch.inference_mode()
    def _force(self, prompt: Sequence[int], reply: Sequence[int]) -> Forced:
        ids, said = torch.tensor([[*prompt, *reply]]), [*reply, self._end]
        rows = self._model(ids, logits_to_keep=len(said)).logits[0].double().log_softmax(-1)
        logprobs = tuple(float(row[token]) for row, token in zip(rows, said, strict=True))
        return Forced(tuple(rows.argmax(-1).tolist()), logprobs)
