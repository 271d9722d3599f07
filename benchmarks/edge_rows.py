"""Rows and verdicts of the edge benchmark, from its samples. Pure: no process is asked here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import Final

import numpy as np

from benchmarks.edge_answers import Copying, SecondTurn
from benchmarks.edge_peers import GENAI, LLAMA, OURS, Subject
from benchmarks.edge_rounds import PROMPT_TOKENS, SHORT_TOKENS, WRITTEN_TOKENS, Samples
from benchmarks.report import Better, Floor, Row, row
from edgewise.wire.manifest import Manifest

DECODE_FLOORS: Final = {LLAMA: 1.10, GENAI: 1.6}
PREFILL_FLOORS: Final = {64: 1.0, 128: 1.1}
"""Against llama.cpp, by the block size of our export."""
MEMORY_FLOORS: Final = {"rss": 0.8, "anonymous": 0.3}
BUSY_FLOOR: Final = 0.6
COPY_FLOOR: Final = 1.5
SECOND_TURN_FLOOR: Final = 0.3
ROTARY_TABLES: Final = "cos_cache", "sin_cache"
MODE_WORDS: Final = {
    "one-row": "a call for each token: the default engine",
    "many-row": "every call padded to a tile of rows",
    "mixed": "one row where nothing is drafted, not exact",
}

Found = Mapping[Subject, Samples]


def best(found: Found, engine: str) -> tuple[Subject, Samples] | None:
    """An engine at its best setting: the highest median of decoding, of those that ran to the end; None without one."""
    ran = [one for one in found.items() if one[0].engine == engine and one[1].decode and not one[1].reason]
    return max(ran, key=lambda one: median(one[1].decode), default=None)


def lost(found: Found, engine: str) -> str:
    """Which settings of an engine did not run to the end, and why; empty where all did."""
    return "; ".join(
        f"{engine}, {subject.words}: {samples.reason}"
        for subject, samples in found.items()
        if subject.engine == engine and samples.reason
    )


def weight_bytes(manifest: Manifest) -> int:
    """What one token reads of a graph. Of the rotary tables it reads a row for its position: they are no weights. A
    manifest that does not list its tensors counts them in."""
    whole = sum(entry.bytes for entry in manifest.graph_files.values())
    tables = [manifest.tensors[name] for name in ROTARY_TABLES if name in manifest.tensors]
    return whole - sum(math.prod(table.shape) * np.dtype(table.dtype).itemsize for table in tables)


def limits_of(manifest: Manifest, bytes_per_s: Mapping[int, float]) -> dict[int, float]:
    """Tokens/s at which so many threads could read a model's weights."""
    return {threads: value / weight_bytes(manifest) for threads, value in bytes_per_s.items()}


def lost_row(metric: str, unit: str, better: Better, reason: str) -> Row:
    """A figure of ours that could not be measured; it does not hold."""
    return row(metric, "ours did not run to the end", unit, better, math.nan, reason=reason)


def speed_rows(found: Found, reasons: Mapping[str, str], block: int, limits: Mapping[int, float]) -> list[Row]:
    """Decode, prefill, first token and memory of ours beside each peer at its best thread count.

    `reasons`: peers that could not be made ready. `limits`: tokens/s at which `threads` threads could read our weights.
    Where a setting of either side was lost, nobody knows the best of that side: the rows say so and do not hold.
    """
    mine = best(found, OURS)
    peers = dict.fromkeys([*(subject.engine for subject in found if subject.engine != OURS), *reasons])
    rows = []
    for peer in peers:
        theirs = best(found, peer)
        missing = "" if theirs else f"{peer} did not run"
        why = "; ".join(filter(None, (lost(found, OURS), reasons.get(peer) or lost(found, peer) or missing)))
        rows += _beside(mine, peer, theirs, why, block, limits)
    return rows


def _beside(
    mine: tuple[Subject, Samples] | None,
    peer: str,
    theirs: tuple[Subject, Samples] | None,
    reason: str,
    block: int,
    limits: Mapping[int, float],
) -> list[Row]:
    ours, their = mine[1] if mine else Samples(), theirs[1] if theirs else None
    words = f"ours {mine[0].words if mine else 'lost'}" + (f", theirs {theirs[0].words}" if theirs else "")
    floored = peer == LLAMA

    def one(metric: str, condition: str, unit: str, better: Better, name: str, floor: Floor | None) -> Row:
        value, theirs_value = _value(ours, name), _value(their, name) if their else None
        limit = limits.get(mine[0].threads) if mine and name == "decode" else None
        return row(
            metric,
            f"{condition}; {words}",
            unit,
            better,
            value,
            peer=peer,
            peer_value=theirs_value,
            limit=limit,
            samples=len(ours.decode),
            floor=floor,
            reason=reason,
        )

    after = f"{WRITTEN_TOKENS} tokens after {PROMPT_TOKENS}"
    prefill = _at_least(PREFILL_FLOORS.get(block, 1.0)) if floored else None
    memory = {name: _at_most(value) if floored else None for name, value in MEMORY_FLOORS.items()}
    decode = _at_least(DECODE_FLOORS[peer]) if peer in DECODE_FLOORS else None
    return [
        one("decode", after, "tok/s", "higher", "decode", decode),
        one("decode, processor time", after, "ms/token", "lower", "decode_cpu_ms", None),
        one("prefill", f"{PROMPT_TOKENS} tokens, block {block}", "tok/s", "higher", "prefill", prefill),
        one("first token", f"prompt of {SHORT_TOKENS} tokens", "ms", "lower", "first_ms", None),
        one("memory, RSS", after, "MB", "lower", "rss_mb", memory["rss"]),
        one("memory, anonymous", after, "MB", "lower", "anonymous_mb", memory["anonymous"]),
        one("memory, anonymous, after all rounds", after, "MB", "lower", "kept_mb", None),
    ]


def setting_rows(found: Found) -> list[Row]:
    """Ours at each setting that was begun, without a peer: what the best was chosen from, and what was lost."""
    return [
        row(
            f"{name} by setting",
            subject.words,
            "tok/s",
            "higher",
            _value(samples, name),
            samples=len(getattr(samples, name)),
            reason=samples.reason,
        )
        for subject, samples in found.items()
        if subject.engine == OURS
        for name in ("decode", "prefill")
    ]


def limit_rows(bytes_per_s: Mapping[int, float]) -> list[Row]:
    """The memory that was read beside it, by threads."""
    words = {threads: f"dot product of 1 GiB, {threads} thread{'s' if threads > 1 else ''}" for threads in bytes_per_s}
    return [
        row("memory bandwidth", words[threads], "GB/s", "higher", value / 1e9, samples=1)
        for threads, value in bytes_per_s.items()
    ]


def busy_rows(measured: Mapping[int, tuple[list[float], list[float]]]) -> list[Row]:
    """Decoding by threads with both cores busy, beside one thread on the idle machine: {threads: (idle, busy)}.

    The floor is for the setting that a device should choose under such load: the fastest of them.
    """
    chosen = max(measured, key=lambda threads: median(measured[threads][1]))
    one_thread = median(measured[1][0])
    return [
        row(
            "decode, both cores busy",
            f"ours {threads} thread{'s' if threads > 1 else ''}; idle at this setting {median(idle):.1f} tok/s",
            "tok/s",
            "higher",
            median(busy),
            peer="ours, idle, 1 thread",
            peer_value=one_thread,
            samples=len(busy),
            floor=_at_least(BUSY_FLOOR) if threads == chosen else None,
        )
        for threads, (idle, busy) in measured.items()
    ]


def copy_row(found: Copying, threads: int, *, floor: bool) -> Row:
    """Speculation beside a plain run, each in the mode that the condition names; another text fails a row with a floor.

    A plain run in `many-row` pays for padding that drafts fill: only the ratio to plain `one-row` is what a user gains.
    """
    share = found.accepted / found.drafted if found.drafted else 0.0
    text = "same text" if found.same_text else "another text"
    drafted, plain = (f"{mode} ({MODE_WORDS[mode]})" for mode in (found.drafted_mode, found.plain_mode))
    return row(
        "copy-heavy decode with speculation",
        f"drafted {drafted}, plain {plain}; {threads} threads; a random model's loop; "
        f"{share:.0%} of {found.drafted} drafts held; {text}",
        "tok/s",
        "higher",
        median(found.drafted_speed),
        peer=f"ours, no speculation, {found.plain_mode}",
        peer_value=median(found.plain),
        samples=len(found.plain),
        floor=_at_least(COPY_FLOOR) if floor else None,
        reason="another text" if floor and not found.same_text else "",
    )


def second_turn_row(found: SecondTurn, threads: int) -> Row:
    """The first token of a chat's second turn beside that of an unseen prompt of its length."""
    return row(
        "first token of a second turn",
        f"{found.reused} of {found.tokens} tokens reused, {threads} threads",
        "ms",
        "lower",
        1e3 * median(found.warm_s),
        peer="ours, cold",
        peer_value=1e3 * median(found.cold_s),
        samples=len(found.warm_s),
        floor=_at_most(SECOND_TURN_FLOOR),
    )


def _value(samples: Samples, name: str) -> float:
    """The median of a list; not a number where nothing was measured."""
    value = getattr(samples, name)
    return (median(value) if value else math.nan) if isinstance(value, list) else float(value)


def _at_least(value: float) -> Floor:
    return Floor(of="ratio", op=">=", value=value)


def _at_most(value: float) -> Floor:
    return Floor(of="ratio", op="<=", value=value)
