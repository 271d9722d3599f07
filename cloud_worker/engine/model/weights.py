"""The weights of a decoder in the form it computes with: products that share an input made one, each matrix packed.

Tensors are taken, joined and packed one after the other, so the peak is about one copy of the weights. A tied embedding
is kept twice, packed as the head and plain for looking up ids; the plain one stays mapped from its file. Integer kinds
(linear.py) are rounded here, matrix by matrix, the head too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cloud_worker.engine.model.config import ModelConfig
from cloud_worker.engine.model.linear import AS_STORED, Linear, make_linear
from cloud_worker.engine.model.tensors import RandomTensors, SafetensorFiles, TensorSource
from edgewise.wire.errors import ConfigError

COMPUTED: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""The precisions that the engine computes in. Weights of any float type are turned into one of them."""


@dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """One layer: q, k, v and gate, up are one product each; norms [hidden], qk_norm [heads + kv_heads, head_dim]."""

    input_norm: Tensor
    qkv: Linear
    qk_norm: Tensor | None
    out: Linear
    inner_norm: Tensor
    gate_up: Linear
    down: Linear


@dataclass(frozen=True, kw_only=True)
class Weights:
    """All of a decoder: embedding [vocab, hidden], layers, final norm [hidden], head."""

    embedding: Tensor
    layers: tuple[LayerWeights, ...]
    norm: Tensor
    head: Linear


def load_weights(directory: Path, config: ModelConfig, precision: str, kind: str = AS_STORED) -> Weights:
    """Read the weights of a model directory. Raises ManifestError; ConfigError for a precision that is not computed."""
    dtype = computed(precision)
    return build_weights(config, SafetensorFiles(directory, config.sizes.tensors()), dtype, kind)


def random_weights(config: ModelConfig, precision: str, seed: int = 0, kind: str = AS_STORED) -> Weights:
    """Weights that mean nothing, for measuring speed. Raises ConfigError for a precision that is not computed."""
    dtype = computed(precision)
    return build_weights(config, RandomTensors(config.sizes.tensors(), dtype, seed), dtype, kind)


def computed(precision: str) -> torch.dtype:
    """The torch type of a precision. Raises ConfigError; float16 has no fast product on CPUs and is not among them."""
    if precision not in COMPUTED:
        raise ConfigError(
            f"The engine does not compute in {precision!r}",
            where="precision",
            expected=" or ".join(COMPUTED),
            remedy="float16 weights are computed in float32 (all their bits) or bfloat16 (faster)",
        )
    return COMPUTED[precision]


def build_weights(config: ModelConfig, source: TensorSource, dtype: torch.dtype, kind: str = AS_STORED) -> Weights:
    """Join and pack what `source` gives, in `dtype` and as `kind`. Raises what source and make_linear raise."""
    builder = _Builder(config, source, dtype, kind)
    embedding = builder.tensor("model.embed_tokens.weight")
    layers = tuple(builder.layer(f"model.layers.{number}.") for number in range(config.layers))
    head = embedding if config.sizes.tie_word_embeddings else builder.tensor("lm_head.weight")
    return Weights(
        embedding=embedding, layers=layers, norm=builder.tensor("model.norm.weight"), head=make_linear(head, None, kind)
    )


class _Builder:
    def __init__(self, config: ModelConfig, source: TensorSource, dtype: torch.dtype, kind: str) -> None:
        self._config, self._source, self._dtype, self._kind = config, source, dtype, kind
        self._known = config.sizes.tensors()

    def tensor(self, name: str) -> Tensor:
        return self._source.take(name).to(self._dtype)

    def layer(self, prefix: str) -> LayerWeights:
        attention, mlp = f"{prefix}self_attn.", f"{prefix}mlp."
        return LayerWeights(
            input_norm=self.tensor(f"{prefix}input_layernorm.weight"),
            qkv=self._linear(f"{attention}q_proj", f"{attention}k_proj", f"{attention}v_proj"),
            qk_norm=self._qk_norm(attention) if self._config.qk_norm else None,
            out=self._linear(f"{attention}o_proj"),
            inner_norm=self.tensor(f"{prefix}post_attention_layernorm.weight"),
            gate_up=self._linear(f"{mlp}gate_proj", f"{mlp}up_proj"),
            down=self._linear(f"{mlp}down_proj"),
        )

    def _linear(self, *names: str) -> Linear:
        """One product in place of several that share their input."""
        weights = [self.tensor(f"{name}.weight") for name in names]
        biases = [self.tensor(f"{name}.bias") for name in names if f"{name}.bias" in self._known]
        weight = torch.cat(weights) if len(weights) > 1 else weights[0]
        return make_linear(weight, torch.cat(biases) if biases else None, self._kind)

    def _qk_norm(self, attention: str) -> Tensor:
        query, key = self.tensor(f"{attention}q_norm.weight"), self.tensor(f"{attention}k_norm.weight")
        return torch.cat((query.expand(self._config.heads, -1), key.expand(self._config.kv_heads, -1)))
