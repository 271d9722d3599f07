"""`python -m benchmarks.cloud`: our cloud engine beside vLLM and transformers on one random 0.5 B model, in one run.

Every engine is a process of its own, held open; rounds are A B C A B C. Progress goes to standard error. What is asked
is in cloud_crowd.py, the floors are in cloud_rows.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import cloud_rows, cloud_speculation
from benchmarks.cloud_crowd import ANSWER_TOKENS, prompts, repeating
from benchmarks.cloud_peers import CONTINUOUS, GENERATE, ROUNDED, VLLM, Subject, ours, rounded, transformers, vllm
from benchmarks.cloud_rows import Samples
from benchmarks.edge_limit import bandwidth
from benchmarks.edge_models import random_directory
from benchmarks.edge_process import EngineProcess, PeerError
from benchmarks.report import Report, Row, machine, show

MODEL = "0.5b"
THREADS = 2
ROUNDS, QUICK_ROUNDS = 5, 2
CONCURRENT = (1, 8, 32)
SHARED_TOKENS, SHARED_CONCURRENT = 512, 8
WARM_TOKENS = 4
SPEED, SPECULATION = PARTS = ("speed", "speculation")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything and print it."""
    given = _parser().parse_args(arguments)
    rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
    directory = given.model or random_directory(MODEL, say=_say)
    peers = () if given.alone else given.peer or tuple(_PEERS)
    rows = run(directory, rounds, peers, given.weights or ROUNDED, parts=given.part or PARTS)
    show(Report("cloud engine", machine(), rows), as_json=given.json)


def run(
    directory: Path, rounds: int, peers: Sequence[str], weights: Sequence[str] = ROUNDED, parts: Sequence[str] = PARTS
) -> list[Row]:
    """All rounds of one Hugging Face directory: these parts, these kinds of rounded weights, beside these peers."""
    rows = _speed(directory, rounds, peers, weights) if SPEED in parts else []
    if SPECULATION in parts:
        rows += [_copied(directory, rounds), *cloud_speculation.rows(THREADS, rounds, _say)]
    return rows


def _speed(directory: Path, rounds: int, peers: Sequence[str], kinds: Sequence[str]) -> list[Row]:
    subjects = [ours(directory, THREADS), *(rounded(directory, THREADS, kind) for kind in kinds)]
    reasons = dict[str, str]()
    for engine in peers:
        try:
            subjects.append(_PEERS[engine](directory))
        except (PeerError, OSError) as error:
            reasons[engine] = str(error)
    weights = sum(file.stat().st_size for file in directory.glob("*.safetensors"))
    bytes_per_s, flop_per_s = bandwidth((THREADS,), _say)[THREADS], _compute()
    found = _in_turn(subjects, rounds)
    rows = cloud_rows.speed_rows(found, reasons, weights, bytes_per_s) + cloud_rows.rounded_rows(found, reasons)
    return rows + cloud_rows.limit_rows(bytes_per_s, flop_per_s, weights)


_PEERS: dict[str, Callable[[Path], Subject]] = {
    VLLM: lambda directory: vllm(directory, THREADS, _say),
    GENERATE: lambda directory: transformers(directory, THREADS, GENERATE),
    CONTINUOUS: lambda directory: transformers(directory, THREADS, CONTINUOUS),
}


def _in_turn(subjects: Sequence[Subject], rounds: int) -> dict[str, dict[str, Samples]]:
    """Every subject at every concurrency, A B C A B C; one round before the first is not counted."""
    conditions = {f"{count} concurrent": (count, 0) for count in CONCURRENT}
    conditions[f"{SHARED_CONCURRENT} concurrent, {SHARED_TOKENS} tokens shared"] = (SHARED_CONCURRENT, SHARED_TOKENS)
    found = {name: {subject.engine: Samples() for subject in subjects} for name in conditions}
    with ExitStack() as stack:
        running = dict[str, EngineProcess]()
        for subject in subjects:
            _say(f"opening {subject.engine}")
            try:
                running[subject.engine] = subject.start()
                stack.callback(running[subject.engine].close)
            except PeerError as error:
                _lose(found, subject.engine, str(error))
        for number in range(rounds + 1):
            for name, (count, shared) in conditions.items():
                for engine, process in list(running.items()):
                    _say(f"round {number} of {rounds}, {name}: {engine}")
                    try:
                        told = _ask(process, prompts(count, number, shared), number)
                    except PeerError as error:
                        _lose(found, engine, str(error))
                        del running[engine]
                        continue
                    if number:
                        found[name][engine].add(told)
    return found


def _ask(process: EngineProcess, asked: list[list[int]], number: int) -> dict[str, Any]:
    return process.ask("crowd", prompts=asked, tokens=ANSWER_TOKENS if number else WARM_TOKENS)


def _lose(found: dict[str, dict[str, Samples]], engine: str, reason: str) -> None:
    for engines in found.values():
        engines[engine].reason = reason


def _copied(directory: Path, rounds: int) -> Row:
    """Ours with and without speculation on text that repeats."""
    plain, drafting = Samples(), Samples()
    with ExitStack() as stack:
        try:
            pairs = []
            for samples, words in ((plain, ()), (drafting, ("--speculation", "auto"))):
                process = ours(directory, THREADS, *words).start()
                stack.callback(process.close)
                pairs.append((samples, process))
            for number in range(rounds + 1):
                for samples, process in pairs:
                    _say(f"round {number} of {rounds}, repeating text")
                    told = process.ask("crowd", prompts=repeating(1, number), tokens=2 * ANSWER_TOKENS)
                    if number:
                        samples.add(told)
        except PeerError as error:
            plain.reason = str(error)
    return cloud_rows.copy_row(plain, drafting)


def _compute() -> float:
    """Floating point operations a second."""
    process = EngineProcess([sys.executable, "-m", "benchmarks.cloud_limit", str(THREADS)])
    try:
        return float(process.ask("compute")["flop_per_s"])
    finally:
        process.close()


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cloud", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds instead of {ROUNDS}")
    parser.add_argument("--rounds", type=int, default=0, help="so many rounds")
    parser.add_argument("--alone", action="store_true", help="ours alone, without peers")
    parser.add_argument("--peer", action="append", choices=tuple(_PEERS), help="beside this peer; may be given again")
    parser.add_argument("--part", action="append", choices=PARTS, help="this part alone; may be given again")
    parser.add_argument(
        "--weights", action="append", choices=ROUNDED, help="of the rounded weights these alone; may be given again"
    )
    parser.add_argument("--model", type=Path, help="a Hugging Face directory instead of the random one")
    return parser


if __name__ == "__main__":
    main()
