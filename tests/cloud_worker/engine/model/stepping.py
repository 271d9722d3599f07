"""Drives a Decoder over whole sequences for the tests of this folder: cuts them into segments, lays out blocks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cloud_worker.engine.model.base import Model
from cloud_worker.engine.model.config import ModelConfig, parse_config
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.model.linear import AS_STORED
from cloud_worker.engine.model.tensors import RandomTensors
from cloud_worker.engine.model.weights import build_weights, computed
from cloud_worker.engine.work import BLOCK_TOKENS, Segment

TINY: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "eos_token_id": 1,
}  # fmt: skip


class WildTensors(RandomTensors):
    """Random weights large enough that answers wander; norms and biases are random too."""

    def take(self, name: str) -> Tensor:
        shape, wide = self._shapes[name], torch.float32
        if name.endswith("norm.weight"):
            return torch.empty(shape, dtype=wide).uniform_(0.5, 1.5, generator=self._generator)
        scale = 1.0 if name.endswith(".bias") else 1.6 / shape[-1] ** 0.5
        return torch.empty(shape, dtype=wide).normal_(0, scale, generator=self._generator)


def config_of(**changes: Any) -> ModelConfig:
    """TINY with changes, as the engine reads it."""
    return parse_config(TINY | changes)


def wild_decoder(
    config: ModelConfig, precision: str, blocks: int = 64, seed: int = 0, kind: str = AS_STORED
) -> Decoder:
    """A decoder with random weights, the same for a seed in every precision but for rounding."""
    source = WildTensors(config.sizes.tensors(), torch.float32, seed)
    return Decoder(config, build_weights(config, source, computed(precision), kind), blocks)


@dataclass(frozen=True)
class Text:
    """A prompt, what was said after it, and the blocks that hold both."""

    prompt: tuple[int, ...]
    said: tuple[int, ...]
    blocks: tuple[int, ...]

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.said)

    def prompt_segment(self, start: int, stop: int, wanted: int = 0) -> Segment:
        return Segment("r", self.blocks, start, self.prompt[start:stop], True, wanted)

    def rows_segment(self, start: int, stop: int, wanted: int = 0) -> Segment:
        """Output tokens `start` to `stop`, counted from the first one."""
        return Segment("r", self.blocks, len(self.prompt) + start, self.said[start:stop], False, wanted)


def blocks_for(tokens: int) -> int:
    return -(-tokens // BLOCK_TOKENS)


def sequence(prompt: int, said: int, vocab: int, seed: int = 0, blocks: Sequence[int] | None = None) -> Text:
    """Random ids in `blocks`, or in the first ones."""
    dice = random.Random(seed)
    ids = tuple(dice.choices(range(vocab), k=prompt + said))
    table = tuple(blocks or range(blocks_for(prompt + said)))
    return Text(ids[:prompt], ids[prompt:], table)


def read_plainly(decoder: Model, given: Text) -> Tensor:
    """Hidden states of all tokens of a sequence: the prompt in one step, then one row a step."""
    found = [decoder.forward([given.prompt_segment(0, len(given.prompt), len(given.prompt))])]
    found += [decoder.forward([given.rows_segment(n, n + 1, 1)]) for n in range(len(given.said))]
    return torch.cat(found)


def play(decoder: Model, texts: Sequence[Text], dice: random.Random, shared: int = 0) -> list[Tensor]:
    """Hidden states of all tokens of each text, read together: each step takes what the dice say of each.

    The first `shared` tiles of every text but the first are those of the first one, which is read that far alone.
    """
    done = [0 if n == 0 else shared * BLOCK_TOKENS for n in range(len(texts))]
    found: list[list[Tensor]] = [[] for _ in texts]
    while any(at < text.length for at, text in zip(done, texts, strict=True)):
        segments, owners = [], []
        for n, text in enumerate(texts):
            waits = n > 0 and done[0] < shared * BLOCK_TOKENS
            for segment in () if waits else _some_of(text, done[n], dice):
                segments.append(segment)
                owners.append(n)
                done[n] = segment.stop
        if not segments:
            continue
        hidden = torch.split(decoder.forward(segments), [segment.wanted for segment in segments])
        for n, rows in zip(owners, hidden, strict=True):
            found[n].append(rows)
    return [torch.cat(rows) for rows in found]


def _some_of(text: Text, at: int, dice: random.Random) -> list[Segment]:
    """The next tokens of a text, none or some tiles or rows; now and then rows behind the prompt's last tile."""
    prompt = len(text.prompt)
    segments = []
    if at < prompt and dice.random() < 0.8:
        stop = min(prompt, at + BLOCK_TOKENS * dice.randint(1, 4))
        segments.append(text.prompt_segment(at, stop, stop - at))
        at = stop
        if dice.random() < 0.5:
            return segments
    if prompt <= at < text.length and dice.random() < 0.8:
        first = at - prompt
        stop = min(len(text.said), first + dice.choice((1, 1, 2, 5, 9)))
        segments.append(text.rows_segment(first, stop, stop - first))
    return segments
