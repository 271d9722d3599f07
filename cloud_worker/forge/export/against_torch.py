"""An exported graph beside the torch weights that it was made from, on text that the weights make: an export's report.

transformers loads the directory: an implementation that is not ours, for all three architectures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cloud_worker.forge.export.errors import ExportError
from cloud_worker.forge.export.source import ModelSource
from cloud_worker.forge.quantize.divergence import Divergence, TrialRow, divergence, forced_rows
from cloud_worker.forge.stepping import open_row
from edgewise.generation.state import Message
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.graphs import Logits
from edgewise.wire.manifest import TOKENIZER_FILE

LEAST_FLOAT_AGREEMENT: Final = 0.98
"""A float graph that picks another token more often than this is broken, whatever the model."""
PROMPTS: Final = (
    "Hello, who are you?",
    "What is 12 + 30?",
    "Write one sentence about a river.",
    "Sort these numbers: 7, 2, 9.",
    "你好，你是谁？",
    "中国的首都是哪里？",
    "写一句关于春天的话。",
    "把 8、3、5 从小到大排列。",
)
REPLY_TOKENS: Final = 32
SEED: Final = 7


@dataclass(frozen=True)
class Reference:
    """Replies that the torch model sampled to PROMPTS, and its logits [predicted, vocabulary] for each."""

    rows: tuple[TrialRow, ...]
    logits: tuple[Logits, ...]


def reference(source: ModelSource) -> Reference:
    """Load the weights in float32 and let them speak."""
    import torch
    from transformers import AutoModelForCausalLM

    generator = torch.Generator().manual_seed(SEED)
    model: Any = AutoModelForCausalLM.from_pretrained(source.directory, dtype=torch.float32, local_files_only=True)
    model.eval()
    with torch.inference_mode():
        rows = tuple(_sampled(model, prompt, generator) for prompt in _prompts(source))
        return Reference(rows, tuple(_logits(model, row) for row in rows))


def compare(said: Reference, graph: Path, *, is_float: bool = False) -> Divergence:
    """Logit gap, arg-max agreement and perplexity of `graph` against torch, token by token as in decoding.

    Raises ExportError for a float graph that disagrees, ManifestError for one that does not load.
    """
    decoder = open_row(graph, max(len(row.ids) for row in said.rows))
    found = divergence(said.rows, said.logits, list(forced_rows(decoder, said.rows)))
    if is_float and found.agreement < LEAST_FLOAT_AGREEMENT:
        raise _differs(graph, found)
    return found


def _prompts(source: ModelSource) -> list[tuple[int, ...]]:
    """PROMPTS in the model's own template, cut where its context is short."""
    tokenizer = (source.directory / TOKENIZER_FILE).read_bytes()
    chat = ChatTokenizer(tokenizer, source.speech.template.encode())
    most = max(1, source.sizes.max_position_embeddings - REPLY_TOKENS)
    return [chat.encode_chat((Message("user", text),))[:most] for text in PROMPTS]


def _sampled(model: Any, prompt: Sequence[int], generator: Any) -> TrialRow:
    """The prompt and REPLY_TOKENS tokens drawn from the model at temperature 1, end tokens and all."""
    import torch

    ids = torch.tensor([list(prompt)])
    for _ in range(REPLY_TOKENS):
        drawn = torch.multinomial(model(ids).logits[0, -1].softmax(-1), 1, generator=generator)
        ids = torch.cat((ids, drawn[None]), dim=1)
    return TrialRow(tuple(ids[0].tolist()), len(prompt))


def _logits(model: Any, row: TrialRow) -> Logits:
    import torch

    logits = model(torch.tensor([row.ids])).logits[0, row.start - 1 : -1]
    return np.asarray(logits.float().numpy(), np.float32)


def _differs(graph: Path, found: Divergence) -> ExportError:
    return ExportError(
        f"The float graph picks torch's token at {found.agreement:.1%} of {found.tokens} places",
        where=str(graph),
        expected=f"at least {LEAST_FLOAT_AGREEMENT:.0%}",
        remedy="the builder may not know this variant of the architecture: report its config.json",
    )
