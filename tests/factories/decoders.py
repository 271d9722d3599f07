"""Tiny decoders of the exact engine, with the weights of the forge's own tiny models."""

from __future__ import annotations

import torch
from torch import Tensor

from cloud_worker.engine.model.config import parse_config
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.model.weights import build_weights
from cloud_worker.forge.qwen2 import Qwen2


class _Loaded:
    """A TensorSource over a model in memory."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors

    def take(self, name: str) -> Tensor:
        return self._tensors[name].detach().clone()


def tiny_decoder(model: Qwen2, blocks: int = 64, dtype: torch.dtype = torch.float32) -> Decoder:
    """The engine's decoder with the weights of `model`."""
    config = parse_config(model.config.to_mapping())
    return Decoder(config, build_weights(config, _Loaded(dict(model.state_dict())), dtype), blocks)
