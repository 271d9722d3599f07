"""`edgewise plan kv`: how much memory the key-value cache of one answer, or of many, takes in every kind of element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloud_worker.architectures import ModelSizes
from cloud_worker.forge.plan.inputs import known, positive
from edgewise.generation.kv_memory import KV_ELEMENTS, kv_bytes


@dataclass(frozen=True, kw_only=True)
class KvShape:
    """What decides the size of a cache: layers, key-value heads (32 heads in 8 groups have 8), width of a head."""

    layers: int
    kv_heads: int
    head_dim: int

    @classmethod
    def of(cls, sizes: ModelSizes) -> KvShape:
        """The shape of a model."""
        return cls(layers=sizes.num_hidden_layers, kv_heads=sizes.num_key_value_heads, head_dim=sizes.head_dim)


@dataclass(frozen=True, kw_only=True)
class KvRow:
    """One kind of element: bytes of one token, of all sequences, and how much fits a budget (None without one)."""

    element: str
    bytes_per_token: int
    bytes: int
    tokens_in_budget: int | None
    sequences_in_budget: int | None


@dataclass(frozen=True, kw_only=True)
class KvPlan:
    """The table, with what it was made from."""

    shape: KvShape
    tokens: int
    sequences: int
    budget_bytes: int | None
    rows: tuple[KvRow, ...]


def plan_kv(
    shape: KvShape,
    tokens: int,
    sequences: int = 1,
    budget_bytes: int | None = None,
    elements: Sequence[str] = tuple(KV_ELEMENTS),
) -> KvPlan:
    """Memory of `sequences` caches of `tokens` tokens each. Raises PlanInputError."""
    for name in ("layers", "kv_heads", "head_dim"):
        positive(getattr(shape, name), name)
    positive(tokens, "tokens")
    positive(sequences, "sequences")
    if budget_bytes is not None:
        positive(budget_bytes, "budget")
    rows = tuple(_row(shape, tokens, sequences, budget_bytes, element) for element in elements)
    return KvPlan(shape=shape, tokens=tokens, sequences=sequences, budget_bytes=budget_bytes, rows=rows)


def bytes_per_token(shape: KvShape, element: str) -> int:
    """Keys and values of one token. Raises PlanInputError for an unknown kind of element."""
    kind = known(element, KV_ELEMENTS, "element")
    return kv_bytes(layers=shape.layers, kv_heads=shape.kv_heads, tokens=1, head_dim=shape.head_dim, element=kind)


def _row(shape: KvShape, tokens: int, sequences: int, budget: int | None, element: str) -> KvRow:
    each = bytes_per_token(shape, element)
    return KvRow(
        element=element,
        bytes_per_token=each,
        bytes=each * tokens * sequences,
        tokens_in_budget=None if budget is None else budget // each,
        sequences_in_budget=None if budget is None else budget // (each * tokens),
    )
