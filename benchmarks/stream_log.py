"""`python -m benchmarks.stream_log`: what the durable log costs, beside a plain client of the same server, memory and
the bare disk; and how many readers of one stream one gateway keeps up with."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import Progress, TaskID

from benchmarks.gateway_peers import edgewise, mock_upstream, share_cores
from benchmarks.log_cost import TOKENS_PER_APPEND, Rate, Waits, append_rate, flush_s, plain_rate, token_waits
from benchmarks.log_readers import EVENTS_PER_S, Audience, allow_sockets, watch_one_stream
from benchmarks.report import Floor, Report, Row, machine, percentile, row, show
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from edgewise.local.valkey import launch
from edgewise.streams.memory import MemoryStreamLog

STREAMS = 64
WARM_UP_S = 1.0
STEADY_S = 8.0
CONNECTS_PER_S = 250
MAX_LAG_S = 1 / EVENTS_PER_S
CROWDS = (500, 1000, 2000, 3500, 5000)
PAUSE_S = 0.012
"""Between later tokens: longer than a flush waits for company, so that each is an append of its own."""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="What the durable token log costs, and how many readers it feeds.")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, and only the small crowds")
    options = parser.parse_args()
    with Progress(console=Console(stderr=True), transient=True, disable=options.json) as progress:
        made = measure(progress, quick=options.quick)
    report = Report("stream_log", machine(), made)
    show(report, as_json=options.json)
    sys.exit(any(each.holds is False for each in made))


def measure(progress: Progress, *, quick: bool) -> list[Row]:
    """Every row: writing first, then reading."""
    with _log_server() as (url, folder):
        writing = uvloop.run(_measure_writing(url, folder, progress, quick=quick))
    return writing + _measure_reading(progress, CROWDS[:2] if quick else CROWDS)


@contextmanager
def _log_server() -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="ew-bench-") as folder:
        server = launch(Path(folder))
        try:
            server.wait_ready()
            yield server.url, Path(folder)
        finally:
            server.stop()


async def _measure_writing(url: str, folder: Path, progress: Progress, *, quick: bool) -> list[Row]:
    task = progress.add_task("appends", total=8)
    appends, answers = (60, 20) if quick else (600, 150)
    ours, peers = [], []
    for _ in range(3):  # in turn, so that a busy moment hits both
        ours.append(await append_rate(url, STREAMS, appends))
        peers.append(await plain_rate(url, STREAMS, appends))
        progress.advance(task, 2)
    log = ValkeyStreamLog(connect(url))
    durable = await token_waits(log, answers, 5, pause_s=PAUSE_S)
    await log.aclose()
    memory = await token_waits(MemoryStreamLog(), answers, 5, pause_s=PAUSE_S)
    progress.advance(task, 2)
    return [*_rate_rows(ours, peers), *_wait_rows(durable, memory, flush_s(folder))]


def _rate_rows(ours: list[Rate], peers: list[Rate]) -> list[Row]:
    mine, plain = max(each.per_s for each in ours), max(each.per_s for each in peers)
    condition = f"{STREAMS} streams, fsync always, client on one core"
    peer, samples = "redis-py, bare XADD", sum(each.appends for each in ours)
    cpu, plain_cpu = min(each.cpu_us for each in ours), min(each.cpu_us for each in peers)
    floor = Floor("ours", ">=", 100_000)
    return [
        row("appends", condition, "1/s", "higher", mine, peer=peer, peer_value=plain, samples=samples),
        row(
            "tokens",
            f"{condition}, {TOKENS_PER_APPEND} an append",
            "1/s",
            "higher",
            mine * TOKENS_PER_APPEND,
            peer=peer,
            peer_value=plain * TOKENS_PER_APPEND,
            samples=samples,
            floor=floor,
        ),
        row("client CPU of an append", condition, "µs", "lower", cpu, peer=peer, peer_value=plain_cpu, samples=samples),
    ]


def _wait_rows(durable: Waits, memory: Waits, disk: list[float]) -> list[Row]:
    made = []
    for name, waits, peers in (
        ("first token: open, claim, append, reader", durable.first, memory.first),
        ("later token: append, reader", durable.later, memory.later),
    ):
        for percent in (50, 95):
            made.append(
                row(
                    name,
                    f"one answer at a time, p{percent} (a bare fdatasync {percentile(disk, percent) * 1e3:.2f} ms)",
                    "ms",
                    "lower",
                    percentile(waits, percent) * 1e3,
                    peer="log in memory",
                    peer_value=percentile(peers, percent) * 1e3,
                    samples=len(waits),
                    floor=Floor("ours", "<=", 3.0) if percent == 50 else None,
                )
            )
    return made


def _measure_reading(progress: Progress, crowds: tuple[int, ...]) -> list[Row]:
    """Larger and larger crowds before one gateway, until one is not kept up with."""
    allow_sockets(2 * max(crowds) + 100)
    cores, seen = share_cores(), []
    for crowd in crowds:
        seconds = crowd / CONNECTS_PER_S + WARM_UP_S + STEADY_S
        environ = {"MOCK_PACE_S": str(1 / EVENTS_PER_S), "MOCK_STREAM_TOKENS": str(int(seconds * EVENTS_PER_S))}
        task = progress.add_task(f"{crowd} readers", total=crowd)
        with mock_upstream(environ) as upstream, edgewise(upstream.target, cores) as gateway:
            connected = partial(_told, progress, task)
            audience = uvloop.run(watch_one_stream(gateway, crowd, WARM_UP_S, connected))
        seen.append(audience)
        if not _kept_up(audience):
            break
    held = [audience for audience in seen if _kept_up(audience)]
    return [*(_crowd_row(audience) for audience in seen), _capacity_row(held, cores.words)]


def _told(progress: Progress, task: TaskID, connected: int) -> None:
    progress.update(task, completed=connected)


def _kept_up(audience: Audience) -> bool:
    return audience.complete == audience.readers and percentile(audience.lags, 99) <= MAX_LAG_S


def _crowd_row(audience: Audience) -> Row:
    lost = audience.readers - audience.complete
    return row(
        "lag behind the first reader, p99",
        f"{audience.readers} readers, {EVENTS_PER_S} events/s, gateway at {audience.cpu_share:.0%} of a core"
        + (f", {lost} readers incomplete" if lost else ""),
        "ms",
        "lower",
        percentile(audience.lags, 99) * 1e3 if audience.lags else float("inf"),
        samples=len(audience.lags),
    )


def _capacity_row(held: list[Audience], pinned: str) -> Row:
    return row(
        "readers of one stream kept up with",
        f"{EVENTS_PER_S} events/s, p99 lag within {MAX_LAG_S * 1e3:.0f} ms, none incomplete, {pinned}",
        "readers",
        "higher",
        max((audience.readers for audience in held), default=0),
        samples=len(held),
        floor=Floor("ours", ">=", 2000),
    )


if __name__ == "__main__":
    main()
