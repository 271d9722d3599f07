"""Which matrices suffer most from rounding: each alone is rounded (or each alone is left float), the rest is compared.

The ranking is what mixed precision is planned from: `most_sensitive` names the matrices to keep at more bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import msgspec

from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.export.source import check_block
from cloud_worker.forge.quantize.divergence import TrialRow, divergence, forced_rows
from cloud_worker.forge.quantize.matrices import matrices, short_name
from cloud_worker.forge.quantize.methods.base import FloatModel
from cloud_worker.forge.quantize.methods.block import round_blocks
from cloud_worker.forge.stepping import open_row


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """One matrix: its node, its number of values, and what rounding it does to the logits (KL in nats)."""

    node: str
    name: str
    values: int
    kl: float
    logit_mse: float
    agreement: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """All matrices, the most sensitive first. `all_but_one`: everything but the named matrix was rounded, so that a
    small KL, not a large one, marks a sensitive matrix."""

    bits: int
    block: int
    all_but_one: bool
    trial_tokens: int
    rows: tuple[Sensitivity, ...]

    def canonical(self) -> bytes:
        """UTF-8 JSON, keys sorted, no spaces."""
        return msgspec.json.encode(self, order="sorted")


def rank(
    model: FloatModel,
    rows: Sequence[TrialRow],
    capacity: int,
    *,
    bits: int = 4,
    block: int = 32,
    all_but_one: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> Ranking:
    """Round one matrix at a time and compare on `rows`; `advance(1)` after each. Raises CombinationRefusedError."""
    check_block(model.sizes, block)
    float_decoder = open_row(model.graph, capacity)
    expected = list(forced_rows(float_decoder, rows))
    shapes = matrices(load_graph(model.graph))
    found = []
    for node, shape in shapes.items():
        skipped = [node] if all_but_one else [other for other in shapes if other != node]
        graph = save_graph(round_blocks(load_graph(model.graph), bits, block, True, skip=skipped), _place(model))
        decoder = open_row(graph, capacity)
        far = divergence(rows, expected, list(forced_rows(decoder, rows)))
        found.append(
            Sensitivity(
                node=node,
                name=short_name(node),
                values=prod(shape),
                kl=far.kl,
                logit_mse=far.logit_mse,
                agreement=far.agreement,
            )
        )
        advance(1)
    _place(model).unlink(missing_ok=True)
    found.sort(key=lambda row: row.kl, reverse=not all_but_one)
    tokens = sum(len(row.ids) - row.start for row in rows)
    return Ranking(bits=bits, block=block, all_but_one=all_but_one, trial_tokens=tokens, rows=tuple(found))


def _place(model: FloatModel) -> Path:
    model.work.mkdir(parents=True, exist_ok=True)
    return model.work / "one-rounded.onnx"


def most_sensitive(ranking: Ranking, share: float) -> tuple[str, ...]:
    """Nodes from the top of the ranking that together hold at most `share` (0..1) of all values."""
    room = share * sum(row.values for row in ranking.rows)
    chosen = []
    for row in ranking.rows:
        if row.values <= room:
            room -= row.values
            chosen.append(row.node)
    return tuple(chosen)


RANKING_HEAD = ("matrix", "values", "KL", "logit MSE", "agreement")


def shown(row: Sensitivity) -> tuple[str, ...]:
    """A matrix's cells under RANKING_HEAD."""
    return (row.name, f"{row.values:,}", f"{row.kl:.6f}", f"{row.logit_mse:.5f}", f"{row.agreement:.4f}")


def markdown(ranking: Ranking) -> str:
    """The ranking as a Markdown table."""
    lines = [RANKING_HEAD, ["---"] * len(RANKING_HEAD), *(shown(row) for row in ranking.rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
