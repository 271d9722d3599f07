"""`python -m benchmarks.edge`: our edge runtime beside llama.cpp and onnxruntime-genai on one 0.5 B shape, in one run.

Random weights, the same for all. Every engine is a process of its own, held open; rounds are A B C A B C. Progress goes
to standard error. What was measured is in edge_rounds.py and edge_answers.py, the floors are in edge_rows.py.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import edge_answers, edge_big, edge_rows
from benchmarks.edge_models import Say
from benchmarks.edge_peers import GENAI, LLAMA, OURS, THREADS, Subject, genai_subjects, llama_subjects, our_model, ours
from benchmarks.edge_process import PeerError
from benchmarks.edge_rounds import idle_and_busy, in_turn
from benchmarks.report import Report, Row, machine, show
from edgewise.wire.manifest import load_manifest

MODEL = "0.5b"
ROUNDS, QUICK_ROUNDS = 9, 3
NUMERICS = ("many-row", "many-row"), ("one-row", "many-row"), ("one-row", "mixed")
"""Of the plain and of the drafted run: the exact mode, whose text must be the same; then what that and the fast mode
gain over the default engine, which pays for no padding."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything and print it."""
    given = _parser().parse_args(arguments)
    rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
    directory = given.model or our_model(MODEL, _say)
    rows = run(directory, rounds, _say, peers=not given.alone)
    if given.big:
        rows += edge_big.rows_of(edge_big.our_big_model, min(rounds, QUICK_ROUNDS), _say, peers=not given.alone)
    show(Report("edge runtime", machine(), rows), as_json=given.json)


def run(directory: Path, rounds: int, say: Say, *, peers: bool = True) -> list[Row]:
    """All rows of one model directory of ours; without `peers`, ours alone."""
    subjects = [ours(directory, threads) for threads in THREADS] + [ours(directory, max(THREADS), spinning=True)]
    reasons: dict[str, str] = {}
    for engine, ready in _PEERS.items() if peers else ():
        try:
            subjects += ready(say)
        except (PeerError, OSError) as error:
            reasons[engine] = str(error)
    bytes_per_s, unread = edge_big.read_memory(say)
    found = in_turn(subjects, rounds, say)
    manifest = load_manifest(directory, verify=False)
    limits = edge_rows.limits_of(manifest, bytes_per_s)
    chosen = edge_rows.best(found, OURS)
    threads = chosen[0].threads if chosen else 1
    rows = edge_rows.speed_rows(found, reasons, _block(manifest.recipe or ""), limits)
    rows += [
        *edge_rows.setting_rows(found),
        *edge_rows.limit_rows(bytes_per_s),
        *unread,
        *_busy(directory, rounds, say),
    ]
    for number, numerics in enumerate(NUMERICS):
        rows += _copied(directory, threads, numerics, rounds, say, floor=number == 0)
    return [*rows, *_second_turn(directory, threads, rounds, say)]


_PEERS: dict[str, Callable[[Say], list[Subject]]] = {
    LLAMA: lambda say: llama_subjects(MODEL, say),
    GENAI: lambda say: genai_subjects(MODEL, say),
}


def _busy(directory: Path, rounds: int, say: Say) -> list[Row]:
    """Ours beside two processes that spin, by threads; never spinning itself."""
    measured = {}
    for threads in THREADS:
        say(f"both cores busy, {threads} threads")
        try:
            measured[threads] = idle_and_busy(ours(directory, threads), rounds)
        except PeerError as error:
            return [edge_rows.lost_row("decode, both cores busy", "tok/s", "higher", f"{threads} threads: {error}")]
    return edge_rows.busy_rows(measured)


def _copied(
    directory: Path, threads: int, numerics: tuple[str, str], rounds: int, say: Say, *, floor: bool
) -> list[Row]:
    try:
        return [
            edge_rows.copy_row(edge_answers.copying(directory, threads, numerics, rounds, say), threads, floor=floor)
        ]
    except PeerError as error:
        return [edge_rows.lost_row("copy-heavy decode with speculation", "tok/s", "higher", str(error))]


def _second_turn(directory: Path, threads: int, rounds: int, say: Say) -> list[Row]:
    try:
        return [edge_rows.second_turn_row(edge_answers.second_turn(directory, threads, rounds, say), threads)]
    except PeerError as error:
        return [edge_rows.lost_row("first token of a second turn", "ms", "lower", str(error))]


def _block(recipe: str) -> int:
    """The block size in the name of the export's method; 0 where it says none."""
    found = re.search(r"block(\d+)", recipe)
    return int(found[1]) if found else 0


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds instead of {ROUNDS}")
    parser.add_argument("--rounds", type=int, default=0, help="so many rounds")
    parser.add_argument("--alone", action="store_true", help="ours alone, without peers")
    parser.add_argument("--big", action="store_true", help="the 4 GB phone profile too (alone: benchmarks.edge_big)")
    parser.add_argument("--model", type=Path, help="a model directory of the same weights, instead of our export")
    return parser


if __name__ == "__main__":
    main()
