"""What a student says by itself: batched sampling from questions of unequal length, with keys and values kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cloud_worker.forge.qwen2 import Layer, Qwen2, rotate
from cloud_worker.forge.tokenizer import END, PAD
from cloud_worker.forge.training.trunk import layers


@dataclass(frozen=True)
class Spoken:
    """Ids [B, T] of prompt and sampled answer, padded, and which of them the student wrote [B, T]."""

    ids: Tensor
    written: Tensor


@torch.no_grad()
def sample(model: Qwen2, prompts: Sequence[Sequence[int]], limit: int, generator: torch.Generator) -> Spoken:
    """At most `limit` tokens after each prompt, at temperature 1, up to and with the end token.

    All rows take one token at a time from position 0; while a row is inside its prompt the sampled token is dropped.
    """
    device = model.model.embed_tokens.weight.device
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    width = int(lengths.max()) + limit
    ids = torch.full((len(prompts), width), PAD, device=device)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt, device=device)
    cache = _Cache(model, len(prompts), width)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for at in range(width - 1):
        chances = cache.step(ids[:, at], at).softmax(-1)
        drawn = torch.multinomial(chances.cpu(), 1, generator=generator)[:, 0].to(device)
        own = (at + 1 >= lengths) & ~ended & (at + 1 < lengths + limit)
        ids[:, at + 1] = torch.where(own, drawn, ids[:, at + 1])
        ended |= own & (drawn == END)
        if bool((ended | (at + 2 >= lengths + limit)).all()):
            break
    place = torch.arange(width, device=device)
    return Spoken(ids, (place >= lengths[:, None]) & (ids != PAD))


class _Cache:
    """Keys and values of a batch [layers, 2, B, kv_heads, T, head_dim]; every row is at the same position."""

    def __init__(self, model: Qwen2, rows: int, width: int) -> None:
        self.model = model
        config, weight = model.config, model.model.embed_tokens.weight
        shape = (config.num_hidden_layers, 2, rows, config.num_key_value_heads, width, config.head_dim)
        self.kept = torch.zeros(shape, device=weight.device)

    def step(self, token: Tensor, at: int) -> Tensor:
        """Logits [B, vocabulary] after `token` [B] at position `at`."""
        x = self.model.model.embed_tokens(token)
        cos, sin = self.model._angles(torch.full((1, 1), at, device=token.device), x.dtype)
        for index, block in enumerate(layers(self.model)):
            x = x + self._attend(block, block.input_layernorm(x), index, at, cos[:, 0], sin[:, 0])
            x = x + block.mlp(block.post_attention_layernorm(x))
        return self.model.head(self.model.model.norm(x)).float()

    def _attend(self, block: Layer, x: Tensor, index: int, at: int, cos: Tensor, sin: Tensor) -> Tensor:
        own = block.self_attn
        rows, groups, size = len(x), own.kv_heads, own.head_dim
        query = rotate(own.q_proj(x).view(rows, own.heads, size), cos, sin).view(rows, groups, -1, size)
        self.kept[index, 0, :, :, at] = rotate(own.k_proj(x).view(rows, groups, size), cos, sin)
        self.kept[index, 1, :, :, at] = own.v_proj(x).view(rows, groups, size)
        keys, values = self.kept[index, :, :, :, : at + 1]
        weights = (query @ keys.transpose(-1, -2).to(query.dtype) * size**-0.5).softmax(-1)
        out: Tensor = own.o_proj((weights.to(values.dtype) @ values).reshape(rows, -1))
        return out
