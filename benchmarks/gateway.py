"""Our gateway beside LiteLLM proxy: requests/s, streams/s, first-token time added, processor time and memory.

    python -m benchmarks.gateway [--json] [--quick] [--seconds S] [--requests N]

Both stand before the same instant upstream and take turns in one run, one process on one core each. Ours does all that
it always does: durable token log with fsync always, keys, policy, decision record. Every answer is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop

from benchmarks.gateway_load import Load, Target, run_load
from benchmarks.gateway_peers import LITELLM_VERSION, Cores, Subject, edgewise, litellm, mock_upstream, share_cores
from benchmarks.report import Floor, Report, Row, machine, percentile, row, show

CONNECTIONS = 16
ROUNDS = 2
WARM_UP_ANSWERS = 64
PEER = f"LiteLLM {LITELLM_VERSION}"


@dataclass(frozen=True)
class Effort:
    """How long to measure: seconds per turn, answers one at a time per turn, requests before memory is read."""

    seconds: float
    singles: int
    requests: int


@dataclass
class Turns:
    """What one subject showed: load at CONNECTIONS by kind of answer, answers one at a time, CPU seconds, MiB."""

    many: dict[bool, Load] = field(default_factory=lambda: {False: Load(), True: Load()})
    cpu_s: dict[bool, float] = field(default_factory=lambda: {False: 0.0, True: 0.0})
    single: Load = field(default_factory=Load)
    memory: Load = field(default_factory=Load)
    rss_before_mb: float = 0.0
    rss_after_mb: float = 0.0

    @property
    def fault(self) -> str:
        """The first wrong answer, with how many there were; empty when all were right."""
        loads = (*self.many.values(), self.single, self.memory)
        wrong, answers = sum(load.wrong for load in loads), sum(load.answers for load in loads)
        said = next((load.fault for load in loads if load.fault), "")
        return f"{wrong} of {answers} answers wrong: {said}" if wrong else ""

    def cpu_us(self, stream: bool) -> float:
        """Processor microseconds per answer."""
        return self.cpu_s[stream] / max(self.many[stream].answers, 1) * 1e6


def say(text: str) -> None:
    """Progress, where it does not disturb the report."""
    print(text, file=sys.stderr, flush=True)


async def measure(subjects: Sequence[Subject], effort: Effort) -> dict[str, Turns]:
    """All subjects in turn, ROUNDS times: requests, streams, one at a time. Then their memory after many requests."""
    seen = {subject.name: Turns() for subject in subjects}
    for subject in subjects:
        await run_load(subject.target, stream=False, connections=CONNECTIONS, answers=WARM_UP_ANSWERS)
        await run_load(subject.target, stream=True, connections=CONNECTIONS, answers=WARM_UP_ANSWERS)
    for number in range(ROUNDS):
        for stream in (False, True):
            for subject in subjects:
                await _many(subject, seen[subject.name], effort, stream=stream)
                _tell(subject, seen[subject.name], number, stream=stream)
        for subject in subjects:
            load = await run_load(subject.target, stream=True, connections=1, answers=effort.singles)
            seen[subject.name].single.add(load)
    return seen


async def _many(subject: Subject, turns: Turns, effort: Effort, *, stream: bool) -> None:
    before_s = subject.cpu_s
    load = await run_load(subject.target, stream=stream, connections=CONNECTIONS, seconds=effort.seconds)
    turns.cpu_s[stream] += subject.cpu_s - before_s
    turns.many[stream].add(load)


def _tell(subject: Subject, turns: Turns, number: int, *, stream: bool) -> None:
    what = "streams" if stream else "requests"
    rate, cpu_us = turns.many[stream].per_s, turns.cpu_us(stream)
    say(f"round {number + 1}: {subject.name}: {rate:,.0f} {what}/s, {cpu_us:,.0f} µs of processor each {turns.fault}")


async def measure_memory(subject: Subject, turns: Turns, requests: int) -> None:
    """Resident memory before and after `requests` more requests."""
    turns.rss_before_mb = subject.rss_mb
    turns.memory = await run_load(subject.target, stream=False, connections=CONNECTIONS, answers=requests)
    turns.rss_after_mb = subject.rss_mb
    say(f"{subject.name}: {turns.rss_before_mb:.0f} MiB, after {requests} requests {turns.rss_after_mb:.0f} MiB")


def rows(seen: dict[str, Turns], cores: Cores, effort: Effort, no_peer: str) -> list[Row]:
    """The report: ours beside the peer, what the upstream alone gives as the limit."""
    ours, peer, bare = seen["edgewise"], seen.get(PEER), seen["upstream"]
    at_many = f"{CONNECTIONS} connections, {cores.words}"
    fault = ours.fault or no_peer or (peer.fault if peer else "")
    made = []
    for stream, metric, floor in ((False, "requests/s", 15.0), (True, "streams/s of 64 tokens", 20.0)):
        made.append(
            row(
                metric,
                at_many,
                "1/s",
                "higher",
                ours.many[stream].per_s,
                peer=PEER,
                peer_value=peer.many[stream].per_s if peer else None,
                limit=bare.many[stream].per_s,
                samples=ours.many[stream].answers,
                floor=Floor("ratio", ">=", floor),
                reason=fault,
            )
        )
        made.append(
            row(
                f"processor time per {'stream' if stream else 'request'}",
                at_many,
                "µs",
                "lower",
                ours.cpu_us(stream),
                peer=PEER,
                peer_value=peer.cpu_us(stream) if peer else None,
                samples=ours.many[stream].answers,
                reason=fault,
            )
        )
    return [*made, *_first_token_rows(ours, peer, bare, cores, fault), _memory_row(ours, peer, cores, effort, fault)]


def _first_token_rows(ours: Turns, peer: Turns | None, bare: Turns, cores: Cores, fault: str) -> list[Row]:
    """First token through a gateway less the first token straight from the upstream, at the same percentile."""

    def added_ms(turns: Turns, percent: float) -> float:
        return (percentile(turns.single.first_s, percent) - percentile(bare.single.first_s, percent)) * 1000

    return [
        row(
            f"first token added p{percent:.0f}",
            f"1 connection, {cores.words}",
            "ms",
            "lower",
            added_ms(ours, percent),
            peer=PEER,
            peer_value=added_ms(peer, percent) if peer else None,
            samples=len(ours.single.first_s),
            floor=Floor("ratio", "<=", 1.0),
            reason=fault,
        )
        for percent in (50.0, 95.0)
    ]


def _memory_row(ours: Turns, peer: Turns | None, cores: Cores, effort: Effort, fault: str) -> Row:
    grown = f"ours grew by {ours.rss_after_mb - ours.rss_before_mb:.0f} MiB"
    if peer:
        grown += f", the peer by {peer.rss_after_mb - peer.rss_before_mb:.0f}"
    return row(
        "resident memory",
        f"after {effort.requests} requests ({grown}), {cores.words}",
        "MiB",
        "lower",
        ours.rss_after_mb,
        peer=PEER,
        peer_value=peer.rss_after_mb if peer else None,
        samples=effort.requests,
        floor=Floor("ratio", "<=", 1.0),
        reason=fault,
    )


def run(effort: Effort) -> list[Row]:
    """Start everything, measure, stop everything."""
    cores = share_cores()
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(mock_upstream())
        subjects = [upstream, stack.enter_context(edgewise(upstream.target, cores))]
        no_peer = _add_peer(stack, subjects, upstream.target, cores)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            seen = runner.run(measure(subjects, effort))
            for subject in subjects[1:]:
                runner.run(measure_memory(subject, seen[subject.name], effort.requests))
    return rows(seen, cores, effort, no_peer)


def _add_peer(stack: contextlib.ExitStack, subjects: list[Subject], upstream: Target, cores: Cores) -> str:
    """Append the peer to `subjects`, or return why it cannot be run."""
    say(f"installing {PEER} if it is not there yet, and starting it …")
    try:
        subjects.append(stack.enter_context(litellm(upstream, cores)))
    except (RuntimeError, OSError) as error:
        say(f"{PEER} cannot be run: {error}")
        return f"{PEER} cannot be run: {error}"
    return ""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Our gateway beside LiteLLM proxy before one instant upstream.")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quick", action="store_true", help="short turns, and memory after 2,000 requests only")
    parser.add_argument("--seconds", type=float, help="seconds per turn (default 10, quick 4)")
    parser.add_argument("--requests", type=int, help="requests before memory is read (default 100,000, quick 2,000)")
    options = parser.parse_args()
    seconds = options.seconds or (4.0 if options.quick else 10.0)
    requests = options.requests or (2_000 if options.quick else 100_000)
    made = run(Effort(seconds, singles=50 if options.quick else 200, requests=requests))
    show(Report("gateway", machine(), made), as_json=options.json)


if __name__ == "__main__":
    main()
