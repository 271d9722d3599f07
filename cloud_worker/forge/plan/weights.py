"""Bytes of weights by bits, scales counted; the parts of a model that a mixed precision may tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.plan.inputs import positive, refuse

BLOCK: Final = 32
SCALE_BYTES: Final = 2
"""A float16 scale for every block of 32 values, as llama.cpp's Q4_0 and Q8_0 keep them: 0.5 bits more per value."""
PRECISIONS: Final = {"int2": 2, "int4": 4, "int8": 8, "float16": 16, "float32": 32}


@dataclass(frozen=True)
class Part:
    """A piece of a model whose weights all get the same bits."""

    name: str
    parameters: int


def weight_bytes(parameters: int, bits: int, block: int = BLOCK, scale_bytes: int = SCALE_BYTES) -> int:
    """Bytes of `parameters` weights: the bits themselves and, below 16 bits, a scale for every `block` of them."""
    scales = -(-parameters // block) * scale_bytes if bits < 16 else 0
    return -(-parameters * bits // 8) + scales


def parts_of(sizes: ModelSizes) -> tuple[Part, ...]:
    """Embedding, layers in order, head (where it is not tied); the final norm goes with the last layer."""
    layers = [Part(f"layer.{index}", sizes.layer_parameters) for index in range(sizes.num_hidden_layers)]
    layers[-1] = Part(layers[-1].name, layers[-1].parameters + sizes.hidden_size)
    head = [] if sizes.tie_word_embeddings else [Part("head", sizes.embedding_parameters)]
    return (Part("embedding", sizes.embedding_parameters), *layers, *head)


def even_parts(parameters: int, layers: int, embedding: int = 0, head: int = 0) -> tuple[Part, ...]:
    """Parts of a model of which only the whole is known: `parameters` in all, the layers alike. Raises
    PlanInputError when the ends leave nothing for the layers."""
    for value, name in ((parameters, "parameters"), (layers, "layers")):
        positive(value, name)
    rest = parameters - embedding - head
    if rest < layers or min(embedding, head) < 0 or layers > 10_000:
        raise refuse("The layers would be empty", "parameters, layers", "more parameters than embedding and head have")
    each = [rest // layers + (index < rest % layers) for index in range(layers)]
    ends = (Part("embedding", embedding), Part("head", head))
    body = tuple(Part(f"layer.{index}", size) for index, size in enumerate(each))
    return tuple(part for part in (ends[0], *body, ends[1]) if part.parameters)
