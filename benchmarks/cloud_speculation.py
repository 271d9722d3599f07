"""`python -m benchmarks.cloud_speculation`: what drafts of the reference pair's small model are worth to its large one,
and the controller beside no drafts and every fixed number of them, from 1 to 64 answers at a time.

Ways take turns, A B C A B C, in one process. Floors are those of docs/adr/0040.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.edge_process import EngineProcess, PeerError
from benchmarks.report import Floor, Report, Row, machine, row, show

OFF: Final = "off"
AUTO: Final = "auto"
CONCURRENT: Final = (1, 4, 16, 64)
FIXED: Final = ("1", "2", "3", "4", "6", "8")
WAYS: Final = (OFF, AUTO, *FIXED)
ANSWERS: Final = 16
"""At least; as many as there are at a time, if more."""
ROUNDS, QUICK_ROUNDS = 5, 2
PAIR_FLOOR: Final = 1.5
DRAFT_FLOOR: Final = 0.25
CONTROLLER_FLOOR: Final = 0.97
Say = Callable[[str], None]
Found = dict[int, dict[str, list[dict[str, Any]]]]
"""What was told, a round each, by concurrency and way."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything and print it."""
    given = _parser().parse_args(arguments)
    rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
    show(Report("cloud speculation", machine(), rows(given.threads, rounds, _say)), as_json=given.json)


def rows(threads: int, rounds: int, say: Say) -> list[Row]:
    """The rows, or one that says why there are none."""
    try:
        process = EngineProcess([sys.executable, "-m", "benchmarks.cloud_pair", str(threads)])
    except PeerError as error:
        return [_lost(str(error))]
    try:
        found = _asked(process, rounds, say)
        costs = process.ask("costs")
    except PeerError as error:
        return [_lost(str(error))]
    finally:
        process.close()
    return rows_of(found, costs)


def rows_of(found: Found, costs: Mapping[str, float]) -> list[Row]:
    """What was found as rows. Pure."""
    return [_pair(found[1]), _draft_step(costs), *(_controller(count, ways) for count, ways in found.items())]


def _asked(process: EngineProcess, rounds: int, say: Say) -> Found:
    """One round before the first is not counted: engines are loaded in it, and learn their machine."""
    found: Found = {count: {way: [] for way in WAYS} for count in CONCURRENT}
    for number in range(rounds + 1):
        for count, ways in found.items():
            for way, told in ways.items():
                say(f"round {number} of {rounds}, {count} concurrent, drafts: {way}")
                answer = process.ask("crowd", way=way, answers=max(count, ANSWERS), concurrent=count, seed=number)
                if number:
                    told.append(answer)
    return found


def _pair(ways: dict[str, list[dict[str, Any]]]) -> Row:
    drafted, accepted = (sum(told[name] for told in ways[AUTO]) for name in ("drafted", "accepted"))
    return row(
        "output with the reference pair's draft model",
        f"1 concurrent, {accepted / max(drafted, 1):.0%} of drafts held",
        "tok/s",
        "higher",
        _rate(ways[AUTO]),
        peer="edgewise without",
        peer_value=_rate(ways[OFF]),
        samples=len(ways[AUTO]),
        floor=Floor("ratio", ">=", PAIR_FLOOR),
        reason=_otherwise(ways),
    )


def _draft_step(costs: Mapping[str, float]) -> Row:
    return row(
        "a call of the draft model",
        "1 row",
        "ms",
        "lower",
        1e3 * costs["draft_s"],
        peer="a step of the large one",
        peer_value=1e3 * costs["step_s"],
        floor=Floor("ratio", "<=", DRAFT_FLOOR),
    )


def _controller(count: int, ways: dict[str, list[dict[str, Any]]]) -> Row:
    rates = {way: _rate(told) for way, told in ways.items()}
    best = max((way for way in WAYS if way != AUTO), key=rates.__getitem__)
    return row(
        "the controller",
        f"{count} concurrent",
        "tok/s",
        "higher",
        rates[AUTO],
        peer=f"the best of {', '.join(FIXED)} drafts and none: {best}",
        peer_value=rates[best],
        samples=len(ways[AUTO]),
        floor=Floor("ratio", ">=", CONTROLLER_FLOOR),
        reason=_otherwise(ways),
    )


def _rate(told: Sequence[dict[str, Any]]) -> float:
    return float(median(each["tokens"] / each["seconds"] for each in told))


def _otherwise(ways: dict[str, list[dict[str, Any]]]) -> str:
    texts = [[each["said"] for each in told] for told in ways.values()]
    return "" if all(text == texts[0] for text in texts) else "drafts changed the text"


def _lost(reason: str) -> Row:
    return row("speculation", "the reference pair", "tok/s", "higher", float("nan"), reason=reason)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cloud_speculation", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds instead of {ROUNDS}")
    parser.add_argument("--rounds", type=int, default=0, help="so many rounds")
    parser.add_argument("--threads", type=int, default=2, help="of the engines")
    return parser


if __name__ == "__main__":
    main()
