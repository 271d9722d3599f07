"""The user's model as it came, in torch and float32 through transformers: what the edge version is judged against.

A Decoder like those of evaluate/, for any architecture that is imported. Slow on purpose: one prompt at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cloud_worker.forge.evaluate.one_by_one import OneByOne, Row


class ReferenceDecoder(OneByOne):
    """Greedy replies and views of given ones. Needs 4 bytes of memory for each parameter."""

    def __init__(self, directory: Path, end: int, context_tokens: int) -> None:
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        super().__init__(end, context_tokens)
        quiet: Any = logging.disable_progress_bar
        quiet()
        load: Any = AutoModelForCausalLM.from_pretrained
        self._model = load(
            directory, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
        ).eval()
        self.begin()

    def begin(self) -> None:
        """See OneByOne."""
        self._past: Any = None

    @torch.inference_mode()
    def feed(self, ids: Sequence[int]) -> Row:
        """See OneByOne."""
        seen = self._model(torch.tensor([list(ids)]), past_key_values=self._past, use_cache=True, logits_to_keep=1)
        self._past = seen.past_key_values
        row: Row = seen.logits[0, -1].float().numpy()
        return row
