"""Qwen2 in plain torch: rotary positions, grouped-query attention, tied or separate head, the caller's KV cache.

Tensor names and config.json are those of Hugging Face's Qwen2ForCausalLM, so either side reads the other's files.
Sampling, batching and scheduling are not here: the forge trains this module, the engine decodes with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from cloud_worker.forge.qwen2_config import ModelFileError, Qwen2Config
from edgewise.generation.kv_memory import KvElement, kv_bytes

__all__ = ["KVCache", "KVCacheFullError", "ModelFileError", "Qwen2", "Qwen2Config", "block_bytes"]


class KVCacheFullError(Exception):
    """More tokens were sent than the cache has room for."""


def block_bytes(keys: Tensor) -> int:
    """Bytes of a block of keys [layers, kv_heads, tokens, head_dim] together with its values."""
    layers, kv_heads, tokens, head_dim = keys.shape
    element = KvElement(8 * keys.element_size())
    return kv_bytes(layers=layers, kv_heads=kv_heads, tokens=tokens, head_dim=head_dim, element=element)


class KVCache:
    """Keys and values of one sequence, contiguous: two tensors [layers, kv_heads, capacity, head_dim].

    Rows at or beyond `length` are stale. The model appends; the caller truncates (rewinding costs nothing).
    """

    def __init__(
        self, config: Qwen2Config, capacity: int, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
    ) -> None:
        shape = (config.num_hidden_layers, config.num_key_value_heads, capacity, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.capacity = capacity
        self.length = 0

    def truncate(self, length: int) -> None:
        """Forget everything at position `length` and beyond. Raises ValueError outside 0..self.length."""
        if not 0 <= length <= self.length:
            raise ValueError(f"KVCache.truncate: length {length} is outside 0..{self.length}; truncate only shortens")
        self.length = length

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store key and value [kv_heads, T, head_dim] after the valid rows; return all rows up to and with them."""
        end = self.length + key.shape[1]
        if end > self.capacity:
            raise KVCacheFullError(f"KVCache: {end} tokens do not fit in {self.capacity}; allocate a larger cache")
        self.keys[layer, :, self.length : end] = key
        self.values[layer, :, self.length : end] = value
        return self.keys[layer, :, :end], self.values[layer, :, :end]


@dataclass(frozen=True)
class _Step:
    """What every layer needs to know of one forward pass."""

    cos: Tensor
    sin: Tensor
    caches: Sequence[KVCache] | None
    lengths: Sequence[int]


class RMSNorm(nn.Module):
    """Root mean square norm, computed in float32 (Zhang & Sennrich, 2019)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled.to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, half-split layout (Su et al., 2021); x [B, H, T, D], cos and sin [B, 1, T, D]."""
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


def attend_cached(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention of the last T rows of one sequence; query [H, T, D], keys and values [KV, S, D], S >= T."""
    new, total = query.shape[1], keys.shape[1]
    mask = torch.ones(new, total, dtype=torch.bool, device=query.device).tril(total - new)
    out = functional.scaled_dot_product_attention(
        query[None], keys[None].to(query.dtype), values[None].to(query.dtype), attn_mask=mask, enable_gqa=True
    )
    return out[0]


class Attention(nn.Module):
    """Grouped-query attention with biases on q, k and v."""

    def __init__(self, config: Qwen2Config, layer: int) -> None:
        super().__init__()
        self.layer, self.head_dim = layer, config.head_dim
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.q_proj = nn.Linear(config.hidden_size, self.heads * self.head_dim)
        self.k_proj = nn.Linear(config.hidden_size, self.kv_heads * self.head_dim)
        self.v_proj = nn.Linear(config.hidden_size, self.kv_heads * self.head_dim)
        self.o_proj = nn.Linear(self.heads * self.head_dim, config.hidden_size, bias=False)

    def forward(self, x: Tensor, step: _Step) -> Tensor:
        batch, new, _ = x.shape
        query = self.q_proj(x).view(batch, new, self.heads, self.head_dim).transpose(1, 2)
        key = self.k_proj(x).view(batch, new, self.kv_heads, self.head_dim).transpose(1, 2)
        value = self.v_proj(x).view(batch, new, self.kv_heads, self.head_dim).transpose(1, 2)
        query, key = rotate(query, step.cos, step.sin), rotate(key, step.cos, step.sin)
        mixed = self._causal(query, key, value) if step.caches is None else self._cached(query, key, value, step)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(batch, new, -1))
        return out

    def _causal(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        shared = self.heads // self.kv_heads
        key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)

    def _cached(self, query: Tensor, key: Tensor, value: Tensor, step: _Step) -> Tensor:
        assert step.caches is not None
        mixed = torch.zeros_like(query)
        for row, (cache, length) in enumerate(zip(step.caches, step.lengths, strict=True)):
            keys, values = cache.write(self.layer, key[row, :, :length], value[row, :, :length])
            mixed[row, :, :length] = attend_cached(query[row, :, :length], keys, values)
        return mixed


class MLP(nn.Module):
    """SwiGLU feed-forward block (Shazeer, 2020)."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, config: Qwen2Config, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, layer)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, step: _Step) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), step)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Body(nn.Module):
    """Everything under the head: embedding, layers, final norm."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Qwen2(nn.Module):
    """A Qwen2 causal language model."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.config = config
        self.model = Body(config)
        self.lm_head = (
            None if config.tie_word_embeddings else nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        )

    @classmethod
    def load(cls, directory: Path, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> Qwen2:
        """Load config.json and model.safetensors, in evaluation mode. Raises ModelFileError naming the file."""
        model = cls(Qwen2Config.from_file(directory))
        path = directory / "model.safetensors"
        try:
            model.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ModelFileError(
                f"{path}: expected the weights that config.json describes ({error}); fetch it again"
            ) from error
        return model.to(device=device, dtype=dtype).eval()

    def save(self, directory: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Write config.json and model.safetensors (weights cast to `dtype`) into an existing directory."""
        text = json.dumps(self.config.to_mapping(), indent=2, sort_keys=True) + "\n"
        (directory / "config.json").write_text(text, encoding="utf-8")
        tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in self.state_dict().items()}
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})

    def hidden(
        self,
        input_ids: Tensor,
        positions: Tensor,
        caches: Sequence[KVCache] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> Tensor:
        """Final hidden states [B, T, hidden]; the arguments are those of `forward`."""
        new = list(lengths) if lengths is not None else [input_ids.shape[1]] * input_ids.shape[0]
        x = self.model.embed_tokens(input_ids)
        cos, sin = self._angles(positions, x.dtype)
        step = _Step(cos, sin, caches, new)
        for layer in self.model.layers:
            x = layer(x, step)
        for cache, length in zip(caches or (), new, strict=caches is not None):
            cache.length += length
        out: Tensor = self.model.norm(x)
        return out

    def head(self, hidden: Tensor) -> Tensor:
        """Logits [..., vocabulary] of hidden states [..., hidden]."""
        weight = self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return functional.linear(hidden, weight)

    def forward(
        self,
        input_ids: Tensor,
        positions: Tensor,
        caches: Sequence[KVCache] | None = None,
        lengths: Sequence[int] | None = None,
    ) -> Tensor:
        """Logits [B, T, vocabulary] for new tokens input_ids [B, T] at absolute positions [B, T].

        Without caches every row is one causal sequence from its first token. With caches (one per row) row b attends
        to all of caches[b] and to its own first lengths[b] tokens (default T; rows are right-padded, logits of padding
        are meaningless), which are appended to the cache. Raises KVCacheFullError when they do not fit.
        """
        return self.head(self.hidden(input_ids, positions, caches, lengths))

    def _angles(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        half = torch.arange(0, self.config.head_dim, 2, device=positions.device, dtype=torch.float32)
        frequency = 1.0 / self.config.rope_theta ** (half / self.config.head_dim)
        angles = positions[:, None, :, None].float() * frequency
        full = torch.cat((angles, angles), dim=-1)
        return full.cos().to(dtype), full.sin().to(dtype)
