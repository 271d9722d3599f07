"""The training pass through a Qwen2: documents packed in a row, attention as plain matrix products, states and maps.

It computes what Qwen2.hidden computes (a test holds the two together) but several times faster on a CPU, where the
library's attention kernel takes most of a step at these sizes. Decoding stays with the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cloud_worker.forge.qwen2 import Attention, Layer, Qwen2, rotate
from cloud_worker.forge.qwen2_config import Qwen2Config
from cloud_worker.forge.training.compile_folder import own_folder


@dataclass(frozen=True)
class Frame:
    """What every layer needs: cos and sin [B, 1, T, head_dim], and the additive mask [B, 1, T, T].

    Without a mask every row is one document.
    """

    cos: Tensor
    sin: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Seen:
    """What a pass kept: final hidden states [B, T, hidden], each layer's output, each layer's attention maps.

    Maps are [B, heads, T, T]. The two tuples are empty unless they were asked for.
    """

    hidden: Tensor
    states: tuple[Tensor, ...] = ()
    maps: tuple[Tensor, ...] = ()


def frame(config: Qwen2Config, documents: Tensor, dtype: torch.dtype = torch.float32) -> Frame:
    """The frame of rows whose tokens belong to `documents` [B, T]: a token sees its own document up to itself.

    Positions start again at 0 with every document. Equal neighbours are one document, padding (0) among them.
    """
    index = torch.arange(documents.shape[1], device=documents.device)
    positions = index - _starts(documents, index)
    half = torch.arange(0, config.head_dim, 2, device=documents.device, dtype=torch.float32)
    angles = positions[:, None, :, None].float() / config.rope_theta ** (half / config.head_dim)
    full = torch.cat((angles, angles), dim=-1)
    same = (documents[:, :, None] == documents[:, None, :]) & (index[:, None] >= index[None, :])
    mask = torch.zeros(same.shape, dtype=dtype, device=documents.device).masked_fill(~same, float("-inf"))
    return Frame(full.cos().to(dtype), full.sin().to(dtype), mask[:, None])


def whole(config: Qwen2Config, ids: Tensor) -> Frame:
    """The frame of rows that are one document each."""
    made = frame(config, torch.ones_like(ids[:1]))
    return Frame(made.cos, made.sin, None)


def _starts(documents: Tensor, index: Tensor) -> Tensor:
    """The index at which each token's document begins, [B, T]."""
    changed = functional.pad(documents[:, 1:] != documents[:, :-1], (1, 0))
    return torch.where(changed, index, 0).cummax(1).values


def attend(block: Attention, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Grouped-query attention of x [B, T, hidden]; returns the mixed values and the weights [B, heads, T, T].

    The query heads of one key-value head are stacked into one product, so keys and values are never repeated.
    """
    batch, width, _ = x.shape
    shared, size = block.heads // block.kv_heads, block.head_dim
    query = rotate(block.q_proj(x).view(batch, width, block.heads, size).transpose(1, 2), cos, sin)
    key = rotate(block.k_proj(x).view(batch, width, block.kv_heads, size).transpose(1, 2), cos, sin)
    value = block.v_proj(x).view(batch, width, block.kv_heads, size).transpose(1, 2)
    groups = batch * block.kv_heads
    stacked = query.reshape(groups, shared * width, size)
    scores = torch.bmm(stacked, key.reshape(groups, width, size).transpose(1, 2)) * size**-0.5
    scores = scores.view(batch, block.heads, width, width) + mask
    weights = scores.float().softmax(-1).to(value.dtype)
    mixed = torch.bmm(weights.view(groups, shared * width, width), value.reshape(groups, width, size))
    merged = mixed.view(batch, block.heads, width, size).transpose(1, 2).reshape(batch, width, -1)
    return block.o_proj(merged), weights


def attend_whole(block: Attention, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`attend` for rows of one document, by the library's kernel: the better one where rows are long."""
    batch, width, _ = x.shape
    shared, size = block.heads // block.kv_heads, block.head_dim
    query = rotate(block.q_proj(x).view(batch, width, block.heads, size).transpose(1, 2), cos, sin)
    key = rotate(block.k_proj(x).view(batch, width, block.kv_heads, size).transpose(1, 2), cos, sin)
    value = block.v_proj(x).view(batch, width, block.kv_heads, size).transpose(1, 2)
    key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
    mixed = functional.scaled_dot_product_attention(query.to(value.dtype), key.to(value.dtype), value, is_causal=True)
    out: Tensor = block.o_proj(mixed.transpose(1, 2).reshape(batch, width, -1))
    return out


def layer_pass(block: Layer, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """One layer: its output [B, T, hidden] and its attention weights."""
    mixed, weights = attend(block.self_attn, block.input_layernorm(x), cos, sin, mask)
    x = x + mixed
    return x + block.mlp(block.post_attention_layernorm(x)), weights


def lean_pass(block: Layer, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
    """`layer_pass` without the weights: what a compiler may fuse freely."""
    if mask is not None:
        return layer_pass(block, x, cos, sin, mask)[0]
    x = x + attend_whole(block.self_attn, block.input_layernorm(x), cos, sin)
    out: Tensor = x + block.mlp(block.post_attention_layernorm(x))
    return out


def layers(model: Qwen2) -> list[Layer]:
    """The layers in order."""
    return [block for block in model.model.layers if isinstance(block, Layer)]


def compiled() -> Callable[[Layer, Tensor, Tensor, Tensor, Tensor | None], Tensor]:
    """`lean_pass` through torch.compile: one graph for all layers of a model, one more for each shape of rows.

    What was compiled before, for another model, is forgotten: the compiler keeps few graphs of one function.
    """
    own_folder()
    torch.compiler.reset()
    return torch.compile(lean_pass, dynamic=False)


def trunk(model: Qwen2, ids: Tensor, documents: Tensor | None, one: Callable[..., Tensor] = lean_pass) -> Tensor:
    """Final hidden states [B, T, hidden] of ids [B, T]; without `documents` every row is one."""
    x = model.model.embed_tokens(ids)
    given = whole(model.config, ids) if documents is None else frame(model.config, documents)
    for block in layers(model):
        x = one(block, x, given.cos, given.sin, given.mask)
    out: Tensor = model.model.norm(x)
    return out


def observed(model: Qwen2, ids: Tensor, documents: Tensor) -> Seen:
    """The same with every layer's output and maps, for distillation."""
    x = model.model.embed_tokens(ids)
    given = frame(model.config, documents)
    assert given.mask is not None
    states, maps = [], []
    for block in layers(model):
        x, weights = layer_pass(block, x, given.cos, given.sin, given.mask)
        states.append(x)
        maps.append(weights)
    return Seen(model.model.norm(x), tuple(states), tuple(maps))
