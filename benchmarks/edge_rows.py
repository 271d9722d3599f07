"""Rows and verdicts of the edge benchmark, from its samples. Pure: no process is asked here."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Final

from benchmarks.edge_answers import Big, Copying, SecondTurn
from benchmarks.edge_peers import GENAI, LLAMA, OURS, Subject
from benchmarks.edge_rounds import PROMPT_TOKENS, SHORT_TOKENS, WRITTEN_TOKENS, Samples
from benchmarks.report import Better, Floor, Row, row

DECODE_FLOORS: Final = {LLAMA: 1.10, GENAI: 1.6}
PREFILL_FLOORS: Final = {64: 1.0, 128: 1.1}
"""Against llama.cpp, by the block size of our export."""
MEMORY_FLOORS: Final = {"rss": 0.8, "anonymous": 0.3}
BUSY_FLOOR: Final = 0.6
COPY_FLOOR: Final = 1.5
SECOND_TURN_FLOOR: Final = 0.3
PHONE_MB: Final = 3800.0
PHONE_TOKENS_PER_S: Final = 20.0

Found = Mapping[Subject, Samples]


def best(found: Found, engine: str) -> tuple[Subject, Samples] | None:
    """An engine at its best setting: the highest median of decoding; None where it could not be run."""
    ran = [(subject, samples) for subject, samples in found.items() if subject.engine == engine and samples.decode]
    return max(ran, key=lambda one: median(one[1].decode), default=None)


def speed_rows(found: Found, reasons: Mapping[str, str], block: int, limits: Mapping[int, float]) -> list[Row]:
    """Decode, prefill, first token and memory of ours beside each peer at its best thread count.

    `reasons`: peers that could not be made ready. `limits`: tokens/s at which `threads` threads could read our weights.
    """
    mine = best(found, OURS)
    assert mine is not None, "our own engine did not run"
    peers = dict.fromkeys([*(subject.engine for subject in found if subject.engine != OURS), *reasons])
    rows = []
    for peer in peers:
        theirs = best(found, peer)
        why = reasons.get(peer) or next((s.reason for one, s in found.items() if one.engine == peer and s.reason), "")
        rows += _beside(mine, peer, theirs, "" if theirs else why or "it did not run", block, limits)
    return rows


def _beside(
    mine: tuple[Subject, Samples],
    peer: str,
    theirs: tuple[Subject, Samples] | None,
    reason: str,
    block: int,
    limits: Mapping[int, float],
) -> list[Row]:
    (subject, ours), their = mine, theirs[1] if theirs else None
    words = f"ours {subject.words}" + (f", theirs {theirs[0].words}" if theirs else "")
    floored = peer == LLAMA

    def one(metric: str, condition: str, unit: str, better: Better, name: str, floor: Floor | None) -> Row:
        value, theirs_value = _value(ours, name), _value(their, name) if their else None
        limit = limits.get(subject.threads) if name == "decode" else None
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
    ]


def setting_rows(found: Found) -> list[Row]:
    """Ours at each setting that was run, without a peer: what the best was chosen from."""
    return [
        row(metric, subject.words, "tok/s", "higher", median(values), samples=len(values))
        for subject, samples in found.items()
        if subject.engine == OURS and samples.decode
        for metric, values in (("decode by setting", samples.decode), ("prefill by setting", samples.prefill))
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
    """Speculation beside the same engine without; another text fails a row with a floor."""
    share = found.accepted / found.drafted if found.drafted else 0.0
    text = "same text" if found.same_text else "another text"
    return row(
        "copy-heavy decode with speculation",
        f"{found.numerics}, {threads} threads; {share:.0%} of {found.drafted} drafts held; {text}",
        "tok/s",
        "higher",
        median(found.drafted_speed),
        peer="ours, no speculation",
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


def big_rows(found: Big, threads: int) -> list[Row]:
    """The 4 GB phone profile's model on this machine."""
    words = f"1.5 B int4, 512 tokens of cache, {threads} threads"
    whole, fast = Floor(of="ours", op="<=", value=PHONE_MB), Floor(of="ours", op=">=", value=PHONE_TOKENS_PER_S)
    return [
        row("phone profile: memory, RSS", words, "MB", "lower", found.rss_mb, samples=1, floor=whole),
        row("phone profile: memory, anonymous", words, "MB", "lower", found.anonymous_mb, samples=1),
        row(
            "phone profile: first token", f"{words}, prompt of {SHORT_TOKENS}", "ms", "lower", found.first_ms, samples=1
        ),
        row("phone profile: decode", words, "tok/s", "higher", found.decode, samples=1, floor=fast),
        row("phone profile: load", words, "s", "lower", found.load_s, samples=1),
    ]


def _value(samples: Samples, name: str) -> float:
    value = getattr(samples, name)
    return median(value) if isinstance(value, list) else float(value)


def _at_least(value: float) -> Floor:
    return Floor(of="ratio", op=">=", value=value)


def _at_most(value: float) -> Floor:
    return Floor(of="ratio", op="<=", value=value)
