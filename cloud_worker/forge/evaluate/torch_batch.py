"""Greedy decoding of many prompts at once in torch, for examinations.

Rows of one batch keep caches of their own lengths side by side, right-padded, so no row sees another's tokens:

    slot 0 |p p p p a a . . .|        positions below lengths[row] are valid, the rest is stale;
    slot 1 |p p a a . . . . .|        a new token of row b goes to position lengths[b]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from cloud_worker.forge.evaluate.decoder import Advance, Forced, Said, no_progress
from cloud_worker.forge.qwen2 import Layer, Qwen2, Qwen2Config, rotate

ROWS: Final = 64
CACHE_TOKENS: Final = 24_000
_KEPT_SHARE: Final = 0.75


class SlotCache:
    """Keys and values [layers, rows, kv_heads, capacity, head_dim] and the valid length of each row [rows]."""

    def __init__(self, config: Qwen2Config, rows: int, capacity: int, device: torch.device) -> None:
        shape = (config.num_hidden_layers, rows, config.num_key_value_heads, capacity, config.head_dim)
        self.keys, self.values = (torch.zeros(shape, device=device) for _ in range(2))
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
        self.lengths = self.lengths[rows]

    def write(self, layer: int, key: Tensor, value: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Store [rows, kv_heads, T, head_dim] at `positions` [rows, T]; return everything up to the longest row."""
        rows = torch.arange(len(positions), device=positions.device)[:, None]
        self.keys[layer][rows, :, positions] = key.transpose(1, 2)
        self.values[layer][rows, :, positions] = value.transpose(1, 2)
        end = int(positions.max()) + 1
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


class BatchGreedy:
    """A torch model as a Decoder: up to `rows` prompts at once, in the model's own precision."""

    def __init__(self, model: Qwen2, end: int, rows: int = ROWS) -> None:
        self.model, self.rows = model, rows
        self._end = end
        self._device = next(model.parameters()).device

    @property
    def end(self) -> int:
        """See Decoder."""
        return self._end

    @property
    def context_tokens(self) -> int:
        """See Decoder."""
        return self.model.config.max_position_embeddings

    @torch.inference_mode()
    def complete(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], advance: Advance = no_progress
    ) -> list[Said]:
        """See Decoder. Prompts of like length share a batch, and among them those with like limits."""
        order = sorted(range(len(prompts)), key=lambda i: (length_class(len(prompts[i])), limits[i]))
        found: dict[int, Said] = {}
        for batch in self._batches(order, [len(prompts[i]) + limits[i] + 1 for i in order]):
            said = _Batch(self, [prompts[i] for i in batch], [limits[i] for i in batch]).run()
            found |= dict(zip(batch, said, strict=True))
            advance(len(batch))
        return [found[index] for index in range(len(prompts))]

    @torch.inference_mode()
    def force(
        self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], advance: Advance = no_progress
    ) -> list[Forced]:
        """See Decoder."""
        whole = [[*prompt, *reply, self._end] for prompt, reply in zip(prompts, replies, strict=True)]
        order = sorted(range(len(whole)), key=lambda i: len(whole[i]))
        found: dict[int, Forced] = {}
        for batch in self._batches(order, [len(whole[i]) for i in order]):
            seen = self._force([whole[i] for i in batch], [len(prompts[i]) for i in batch])
            found |= dict(zip(batch, seen, strict=True))
            advance(len(batch))
        return [found[index] for index in range(len(whole))]

    def _batches(self, order: Sequence[int], tokens: Sequence[int]) -> Iterator[list[int]]:
        """Cut `order` so that neither the rows nor the padded tokens of a batch grow too many."""
        batch: list[int] = []
        widest = 0
        for index, length in zip(order, tokens, strict=True):
            widest = max(widest, length)
            if batch and (len(batch) == self.rows or widest * (len(batch) + 1) > CACHE_TOKENS):
                yield batch
                batch, widest = [], length
            batch.append(index)
        if batch:
            yield batch

    def _force(self, whole: Sequence[Sequence[int]], starts: Sequence[int]) -> list[Forced]:
        ids = _padded(whole, self._device)
        hidden = self.model.hidden(ids[:, :-1], torch.arange(ids.shape[1] - 1, device=self._device)[None])
        return [
            self._view(hidden[row, start - 1 : len(given) - 1], ids[row, start : len(given)])
            for row, (given, start) in enumerate(zip(whole, starts, strict=True))
        ]

    def _view(self, hidden: Tensor, given: Tensor) -> Forced:
        logits = self.model.head(hidden).float()
        chosen = logits.log_softmax(-1).gather(-1, given[:, None])[:, 0]
        return Forced(tuple(logits.argmax(-1).tolist()), tuple(chosen.tolist()))


class _Batch:
    """One batch on its way: `rows` are the places of those that still speak."""

    def __init__(self, owner: BatchGreedy, prompts: Sequence[Sequence[int]], limits: Sequence[int]) -> None:
        self.model, self.end, self.device = owner.model, owner.end, owner._device
        self.prompts, self.limits = prompts, limits
        capacity = max(len(p) + limit for p, limit in zip(prompts, limits, strict=True)) + 1
        self.cache = SlotCache(self.model.config, len(prompts), max(capacity, _longest(prompts)), self.device)
        self.cos, self.sin = angles(self.model.config, capacity, self.device)
        self.rows = list(range(len(prompts)))
        self.ids: list[list[int]] = [[] for _ in prompts]
        self.logprobs: list[list[float]] = [[] for _ in prompts]
        self.ended = [False] * len(prompts)

    def run(self) -> list[Said]:
        """Prefill, then a token a step for all rows until the last has ended."""
        lengths = torch.tensor([len(prompt) for prompt in self.prompts], device=self.device)
        logits = self._forward(_padded(self.prompts, self.device), lengths)
        while alive := self._take(logits):
            if len(alive) <= _KEPT_SHARE * len(self.rows):
                self._keep(alive)
            last = [self.ids[row][-1] if self.ids[row] else self.end for row in self.rows]
            logits = self._forward(torch.tensor(last, device=self.device)[:, None], None)
        return [Said(tuple(i), tuple(p), e) for i, p, e in zip(self.ids, self.logprobs, self.ended, strict=True)]

    def _take(self, logits: Tensor) -> list[int]:
        """Add each speaking row's most likely token; return the places in `rows` of those that go on."""
        best = logits.argmax(-1)
        chosen = logits.log_softmax(-1).gather(-1, best[:, None])[:, 0]
        alive = []
        for place, (row, token, logprob) in enumerate(zip(self.rows, best.tolist(), chosen.tolist(), strict=True)):
            if self._add(row, token, logprob):
                alive.append(place)
        return alive

    def _add(self, row: int, token: int, logprob: float) -> bool:
        """Whether the row goes on after this token."""
        if self.ended[row] or len(self.ids[row]) == self.limits[row]:
            return False
        self.logprobs[row].append(logprob)
        if token == self.end:
            self.ended[row] = True
            return False
        self.ids[row].append(token)
        return len(self.ids[row]) < self.limits[row]

    def _keep(self, places: list[int]) -> None:
        self.rows = [self.rows[place] for place in places]
        self.cache.keep(torch.tensor(places, device=self.device))

    def _forward(self, ids: Tensor, lengths: Tensor | None) -> Tensor:
        """Append ids [rows, T], of which `lengths` [rows] are no padding (all without it); logits of the last ones."""
        steps = torch.arange(ids.shape[1], device=self.device)
        positions = (self.cache.lengths[:, None] + steps).clamp_max(len(self.cos) - 1)
        x = self.model.model.embed_tokens(ids)
        cos, sin = self.cos[positions][:, None].to(x.dtype), self.sin[positions][:, None].to(x.dtype)
        for index, layer in enumerate(self.model.model.layers):
            assert isinstance(layer, Layer)
            x = self._layer(layer, index, x, cos, sin, positions)
        counts = torch.full_like(self.cache.lengths, ids.shape[1]) if lengths is None else lengths
        self.cache.lengths = self.cache.lengths + counts
        last = x[torch.arange(len(ids), device=self.device), counts - 1]
        return self.model.head(self.model.model.norm(last)).float()

    def _layer(self, layer: Layer, index: int, x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor) -> Tensor:
        part, normal = layer.self_attn, layer.input_layernorm(x)
        rows, new, _ = x.shape
        query = part.q_proj(normal).view(rows, new, part.heads, part.head_dim).transpose(1, 2)
        key = part.k_proj(normal).view(rows, new, part.kv_heads, part.head_dim).transpose(1, 2)
        value = part.v_proj(normal).view(rows, new, part.kv_heads, part.head_dim).transpose(1, 2)
        keys, values = self.cache.write(index, rotate(key, cos, sin), value, positions)
        fresh = keys.shape[2] == new
        seen = None if fresh else torch.arange(keys.shape[2], device=self.device) <= positions[:, None, :, None]
        mixed = functional.scaled_dot_product_attention(
            rotate(query, cos, sin), keys, values, attn_mask=seen, is_causal=fresh, enable_gqa=True
        )
        x = x + part.o_proj(mixed.transpose(1, 2).reshape(rows, new, -1))
        out: Tensor = x + layer.mlp(layer.post_attention_layernorm(x))
        return out


def angles(config: Qwen2Config, capacity: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [capacity, head_dim] of the rotary embedding, as Qwen2 computes them."""
    half = torch.arange(0, config.head_dim, 2, device=device, dtype=torch.float32)
    frequency = 1.0 / config.rope_theta ** (half / config.head_dim)
    turned = torch.arange(capacity, device=device, dtype=torch.float32)[:, None] * frequency
    full = torch.cat((turned, turned), dim=-1)
    return full.cos(), full.sin()


def length_class(tokens: int) -> int:
    """Lengths of one class differ by less than a half, so that padding stays small."""
    return int(math.log(max(1, tokens), 1.5))


def _longest(rows: Sequence[Sequence[int]]) -> int:
    return max(len(row) for row in rows)


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Rows of ids, right-padded with zeros to the longest."""
    width = _longest(rows)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
