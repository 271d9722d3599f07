"""Rows and verdicts of the 4 GB phone profile, from what was measured. Pure: no process is asked here.

The targets are the profile's: 3.8 GB for the whole device, a cache of 256 MB for 512 tokens and more, activations of
128 MB, the first token after 200 ms, 20 tokens/s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.edge_peers import LLAMA, OURS
from benchmarks.edge_rounds import Samples
from benchmarks.edge_rows import Found, best, limits_of, lost, setting_rows, weight_bytes
from benchmarks.report import Better, Floor, Row, row
from cloud_worker.forge.plan.phone import MB, Phone, PhonePlan
from edgewise.graphs.prepacked import MEMORY_ROOM_OF_TENSORS as ROOM
from edgewise.wire.manifest import Manifest

FULL_TOKENS: Final = 512
"""In the cache when memory is looked at."""
FIRST_MS: Final = 200.0
FIRST_TOKENS: Final = 64
"""The prompt that the target of the first token is held to; the profile names none."""
TOKENS_PER_S: Final = 20.0
PLAN: Final = "edgewise plan phone"
_NAME: Final = "phone profile: "


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The device that is planned for, the bill of its memory, and the model; `kv_token_bytes` of its cache."""

    phone: Phone
    plan: PhonePlan
    manifest: Manifest
    kv_token_bytes: int

    @property
    def room_mb(self) -> float:
        """What the system and other apps leave of the peak."""
        return self.phone.peak_mb - self.phone.system_mb


@dataclass(frozen=True, kw_only=True)
class Held:
    """Memory of one process in MB: at its most, and with 512 tokens in the cache. `limit_mb` is what the kernel held it
    to, not a number where nothing did. `reason` where it ended."""

    limit_mb: float
    load_s: float = math.nan
    peak_mb: float = math.nan
    rss_mb: float = math.nan
    anonymous_mb: float = math.nan
    reason: str = ""


def memory_rows(profile: Profile, memory: Mapping[str, Held], packed: str) -> list[Row]:
    """What each way of loading takes beside the plan's bill, then the parts of it. `packed` names the way whose weights
    are mapped: there alone the rest can be told from them."""
    rows = [one for way, held in memory.items() for one in _way_rows(profile, way, held)]
    return [*rows, *_part_rows(profile, packed, memory[packed])]


def _way_rows(profile: Profile, way: str, held: Held) -> list[Row]:
    phone, plan = profile.phone, profile.plan
    limited = f"under RLIMIT_DATA of {held.limit_mb:,.0f} MB" if not math.isnan(held.limit_mb) else "no limit"
    words = f"{way}; {FULL_TOKENS} tokens of cache; {limited}"
    device = f"{words}; system and other apps {phone.system_mb:,.0f} MB, assumed"

    def one(metric: str, condition: str, value: float, planned: float | None = None, floor: Floor | None = None) -> Row:
        return _row(metric, condition, "MB", "lower", value, PLAN, planned, floor, held.reason, samples=1)

    return [
        one("peak of the device", device, phone.system_mb + held.peak_mb, plan.peak_mb, _at_most(phone.peak_mb)),
        one("peak of the process, RSS", words, held.peak_mb, plan.peak_mb - plan.system_mb),
        one("memory, RSS", words, held.rss_mb),
        one("memory, anonymous", words, held.anonymous_mb),
        one("memory, mapped from files", words, held.rss_mb - held.anonymous_mb),
        _row("load", words, "s", "lower", held.load_s, reason=held.reason, samples=1),
    ]


def _part_rows(profile: Profile, way: str, held: Held) -> list[Row]:
    phone, plan = profile.phone, profile.plan
    cache = FULL_TOKENS * profile.kv_token_bytes / MB
    weights = weight_bytes(profile.manifest) / MB
    fits = f"float32, computed; {phone.kv_mb:,.0f} MB are {int(phone.kv_mb * MB) // profile.kv_token_bytes:,} tokens"
    rest = f"{way}: anonymous memory less the cache, so with Python, its libraries and what loading left behind"
    return [
        _row("weights and scales", "of the graph", "MB", "lower", weights, PLAN, plan.bits_mb + plan.scales_mb),
        _row(f"cache of {FULL_TOKENS} tokens", fits, "MB", "lower", cache, PLAN, plan.kv_mb, _at_most(phone.kv_mb)),
        _row(
            "activations, at most",
            rest,
            "MB",
            "lower",
            held.anonymous_mb - cache,
            PLAN,
            plan.activations_mb + plan.runtime_mb,
            _at_most(phone.activations_mb),
            held.reason,
            samples=1,
        ),
    ]


def packing_rows(profile: Profile, peak_mb: float, reason: str) -> list[Row]:
    """What making the prepacked copy takes, beside what a phone has; `reason` where no copy was made."""
    graph = sum(entry.bytes for entry in profile.manifest.graph_files.values())
    free = profile.phone.device_mb - profile.phone.system_mb
    asked = f"{ROOM} times the graph; a phone of {profile.phone.device_mb:,.0f} MB has {free:,.0f} MB beside its system"
    return [
        _row(
            "packing the weights, peak RSS",
            "a process of its own, once",
            "MB",
            "lower",
            peak_mb,
            floor=_at_most(profile.room_mb),
            reason=reason,
            samples=1,
        ),
        _row("free memory that packing asks for", asked, "MB", "lower", ROOM * graph / MB, floor=_at_most(free)),
    ]


def speed_rows(
    profile: Profile, found: Found, reasons: Mapping[str, str], bytes_per_s: Mapping[int, float]
) -> list[Row]:
    """First token, prefill and decode of ours against the profile's targets, then beside llama.cpp, each at its best
    thread count. `reasons`: peers that could not be made ready; `bytes_per_s`: memory that threads could read."""
    mine, theirs = best(found, OURS), best(found, LLAMA)
    samples = mine[1] if mine else Samples()
    limit = limits_of(profile.manifest, bytes_per_s).get(mine[0].threads) if mine else None
    targets = {
        f"first token, {FIRST_TOKENS}": _at_most(FIRST_MS),
        "decode": Floor(of="ours", op=">=", value=TOKENS_PER_S),
    }
    words = mine[0].words if mine else "ours did not run to the end"
    rows = [
        _row(
            name,
            words,
            unit,
            better,
            value,
            floor=targets.get(name),
            reason=lost(found, OURS),
            limit=limit if name == "decode" else None,
            samples=len(samples.decode),
        )
        for name, (unit, better, value) in _speeds(samples).items()
    ]
    if theirs or reasons or lost(found, LLAMA):
        their = _speeds(theirs[1]) if theirs else {}
        why = "; ".join(filter(None, (lost(found, OURS), reasons.get(LLAMA) or lost(found, LLAMA))))
        beside = f"{words}; theirs {theirs[0].words}" if theirs else words
        rows += [
            _row(
                name,
                beside,
                unit,
                better,
                value,
                LLAMA,
                their[name][2] if name in their else None,
                reason=why,
                samples=len(samples.decode),
            )
            for name, (unit, better, value) in _speeds(samples).items()
        ]
    return [*rows, *setting_rows(found)]


def _speeds(samples: Samples) -> dict[str, tuple[str, Better, float]]:
    """Unit, direction and median of each figure of an engine."""
    firsts: dict[str, tuple[str, Better, float]] = {
        f"first token, {tokens}": ("ms", "lower", median(values))
        for tokens, values in sorted(samples.first_ms_by_tokens.items())
    }
    rest: dict[str, tuple[str, Better, list[float]]] = {
        "prefill": ("tok/s", "higher", samples.prefill),
        "decode": ("tok/s", "higher", samples.decode),
        "decode, processor time": ("ms/token", "lower", samples.decode_cpu_ms),
    }
    return firsts | {name: (u, b, median(values) if values else math.nan) for name, (u, b, values) in rest.items()}


def _row(
    metric: str,
    condition: str,
    unit: str,
    better: Better,
    value: float,
    peer: str = "",
    peer_value: float | None = None,
    floor: Floor | None = None,
    reason: str = "",
    *,
    limit: float | None = None,
    samples: int = 0,
) -> Row:
    return row(
        f"{_NAME}{metric}",
        condition,
        unit,
        better,
        value,
        peer=peer if peer_value is not None or reason else "",
        peer_value=peer_value,
        limit=limit,
        samples=samples,
        floor=floor,
        reason=reason,
    )


def _at_most(value: float) -> Floor:
    return Floor(of="ours", op="<=", value=value)
