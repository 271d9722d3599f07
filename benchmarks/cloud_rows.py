"""Rows and verdicts of the cloud benchmark, from its samples. Pure: no process is asked here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from benchmarks.cloud_peers import CONTINUOUS, OURS, ROUNDED, VLLM, rounded_name
from benchmarks.report import Floor, Row, percentile, row

VLLM_FLOOR: Final = 1.0
CONTINUOUS_FLOOR: Final = 3.5
CONTINUOUS_AT: Final = 32
SHARED_FLOOR: Final = 1.5
BANDWIDTH_FLOOR: Final = 0.55
COPY_FLOOR: Final = 2.0
ROUNDED_FLOORS: Final = {"1 concurrent": 1.5, "8 concurrent": 1.2}
"""Of 8-bit weights beside the bfloat16 of vLLM."""


@dataclass
class Samples:
    """What one engine showed at one concurrency, a value a round; `reason` where it could not go on."""

    tokens_per_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    gap_s: list[float] = field(default_factory=list)
    said: list[Any] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    reason: str = ""

    def add(self, told: Mapping[str, Any]) -> None:
        """One round's answer of an engine."""
        self.tokens_per_s.append(told["tokens"] / told["seconds"])
        self.first_s += told.get("first_s", [])
        self.gap_s += told.get("gap_s", [])
        self.said.append(told.get("said"))
        if told.get("drafted"):
            self.accepted.append(told["accepted"] / told["drafted"])


Found = Mapping[str, Mapping[str, Samples]]
"""By condition (`8 concurrent`), then by engine."""


def speed_rows(found: Found, reasons: Mapping[str, str], weight_bytes: int, bytes_per_s: float) -> list[Row]:
    """Output tokens/s, first tokens and gaps of ours beside each peer, at each concurrency."""
    rows = []
    for condition, engines in found.items():
        peers = dict.fromkeys([*(engine for engine in engines if not engine.startswith(OURS)), *reasons])
        for peer in peers:
            theirs = engines.get(peer, Samples(reason=reasons.get(peer, "it did not run")))
            rows.append(_speed(condition, engines[OURS], peer, theirs))
        if condition == "1 concurrent":
            rows.append(_bandwidth(engines[OURS], weight_bytes, bytes_per_s))
        if VLLM in engines:
            rows += _waits(condition, engines[OURS], engines[VLLM])
    return rows


def rounded_rows(found: Found, reasons: Mapping[str, str]) -> list[Row]:
    """Ours with each kind of rounded weights beside ours and beside vLLM, both in bfloat16."""
    rows = []
    for condition, engines in found.items():
        for kind in (kind for kind in ROUNDED if rounded_name(kind) in engines):
            mine = engines[rounded_name(kind)]
            for peer in (OURS, VLLM):
                theirs = engines.get(peer, Samples(reason=reasons.get(peer, "it did not run")))
                lost = mine.reason or theirs.reason
                least = ROUNDED_FLOORS.get(condition) if peer == VLLM and kind != "int4" else None
                rows.append(
                    row(
                        f"output, {kind} weights",
                        condition,
                        "tok/s",
                        "higher",
                        _median(mine.tokens_per_s),
                        peer=f"{peer} bfloat16",
                        peer_value=None if lost else _median(theirs.tokens_per_s),
                        samples=len(mine.tokens_per_s),
                        floor=Floor("ratio", ">=", least) if least else None,
                        reason=lost,
                    )
                )
    return rows


def _speed(condition: str, mine: Samples, peer: str, theirs: Samples) -> Row:
    lost = mine.reason or theirs.reason
    floor = None
    if peer == VLLM:
        floor = Floor("ratio", ">=", SHARED_FLOOR if "shared" in condition else VLLM_FLOOR)
    elif peer == CONTINUOUS and condition == f"{CONTINUOUS_AT} concurrent":
        floor = Floor("ratio", ">=", CONTINUOUS_FLOOR)
    return row(
        "output",
        condition,
        "tok/s",
        "higher",
        _median(mine.tokens_per_s),
        peer=peer,
        peer_value=None if lost else _median(theirs.tokens_per_s),
        samples=len(mine.tokens_per_s),
        floor=floor,
        reason=lost,
    )


def _bandwidth(mine: Samples, weight_bytes: int, bytes_per_s: float) -> Row:
    """Of what memory gives when every weight is read once for a token. The first token's prompt counts against us."""
    limit = bytes_per_s / weight_bytes
    return row(
        "decode against the memory",
        f"1 concurrent, {weight_bytes / 1e6:.0f} MB of weights",
        "of the bandwidth",
        "higher",
        1 / _median(mine.gap_s) / limit if mine.gap_s else math.nan,
        limit=limit,
        samples=len(mine.gap_s),
        floor=Floor("ours", ">=", BANDWIDTH_FLOOR),
        reason=mine.reason,
    )


def _waits(condition: str, mine: Samples, theirs: Samples) -> list[Row]:
    lost = mine.reason or theirs.reason
    return [
        row(
            f"{what}, p{percent}",
            condition,
            "ms",
            "lower",
            1e3 * percentile(ours, percent) if ours else math.nan,
            peer=VLLM,
            peer_value=1e3 * percentile(peers, percent) if peers and not lost else None,
            samples=len(ours),
            reason=lost,
        )
        for what, ours, peers in (
            ("first token", mine.first_s, theirs.first_s),
            ("gap", mine.gap_s, theirs.gap_s),
        )
        for percent in (50, 99)
    ]


def copy_row(plain: Samples, drafting: Samples) -> Row:
    """Repeating text with speculation beside without, same text."""
    same = plain.said == drafting.said
    held = f", {_median(drafting.accepted):.0%} of drafts held" if drafting.accepted else ""
    return row(
        "copy-heavy output with speculation",
        f"1 concurrent{held}, {'same text' if same else 'OTHER TEXT'}",
        "tok/s",
        "higher",
        _median(drafting.tokens_per_s),
        peer=f"{OURS} without",
        peer_value=_median(plain.tokens_per_s),
        samples=len(plain.tokens_per_s),
        floor=Floor("ratio", ">=", COPY_FLOOR),
        reason=plain.reason or drafting.reason or ("" if same else "speculation changed the text"),
    )


def limit_rows(bytes_per_s: float, flop_per_s: float, weight_bytes: int) -> list[Row]:
    """What the machine could do, measured in the same run."""
    weights = weight_bytes / 2  # bfloat16
    return [
        row("memory", "reading", "GB/s", "higher", bytes_per_s / 1e9, limit=bytes_per_s / weight_bytes),
        row("arithmetic", "bfloat16", "GFLOP/s", "higher", flop_per_s / 1e9, limit=flop_per_s / (2 * weights)),
    ]


def _median(values: Sequence[float]) -> float:
    return median(values) if values else math.nan
