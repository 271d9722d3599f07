"""Whole answers of our engine: copy-heavy text with and without speculation, the second turn of a chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.edge_models import Say
from benchmarks.edge_peers import MACHINE_DIR, Subject, ours
from benchmarks.edge_process import EngineProcess
from benchmarks.edge_rounds import SHORT_TOKENS, prompt

PASSAGE_TOKENS: Final = 48
LOOP_TOKENS: Final = 256
ANSWER_TOKENS: Final = 128
TURN_TOKENS: Final = 448
REPLY_TOKENS: Final = 32


@dataclass(kw_only=True)
class Copying:
    """Tokens/s of the same answers, plain and drafted; `accepted` of `drafted` ids held."""

    plain_mode: str
    drafted_mode: str
    plain: list[float] = field(default_factory=list)
    drafted_speed: list[float] = field(default_factory=list)
    same_text: bool = True
    drafted: int = 0
    accepted: int = 0


@dataclass(kw_only=True)
class SecondTurn:
    """Seconds to the first token: of a prompt never seen, and of one as long that goes on from the turn before."""

    cold_s: list[float] = field(default_factory=list)
    warm_s: list[float] = field(default_factory=list)
    reused: int = 0
    tokens: int = 0


@contextmanager
def opened(*subjects: Subject) -> Iterator[list[EngineProcess]]:
    """Their processes, ended with the block. Raises PeerError."""
    with ExitStack() as stack:
        running = []
        for subject in subjects:
            running.append(subject.start())
            stack.callback(running[-1].close)
        yield running


def copying(
    directory: Path,
    threads: int,
    numerics: tuple[str, str],
    rounds: int,
    say: Say,
    machine_dir: Path | None = MACHINE_DIR,
) -> Copying:
    """`numerics`: of the plain run and of the drafted one.

    A random model copies no passage, but falls into loops. So it first writes on from a passage until it does, and
    what it wrote is part of the prompt of both runs: their answers copy from it.
    """
    plain_mode, drafted_mode = numerics
    found = Copying(plain_mode=plain_mode, drafted_mode=drafted_mode)
    plain = ours(directory, threads, "--numerics", plain_mode, machine_dir=machine_dir)
    drafted = ours(directory, threads, "--numerics", drafted_mode, "--speculation", machine_dir=machine_dir)
    with opened(plain, drafted) as (without, with_drafts):
        for turn in range(rounds + 1):
            say(f"copying, {drafted_mode} against {plain_mode}, round {turn} of {rounds}")
            passage = prompt(PASSAGE_TOKENS, turn)
            looped = without.ask("answer", ids=passage, tokens=LOOP_TOKENS)["ids"]
            asked = {"ids": [*passage, *looped], "tokens": ANSWER_TOKENS}
            first, second = without.ask("answer", **asked), with_drafts.ask("answer", **asked)
            found.same_text &= first["ids"] == second["ids"]
            if turn:
                found.plain.append(_speed(first))
                found.drafted_speed.append(_speed(second))
                found.drafted += second["drafted"]
                found.accepted += second["accepted"]
    return found


def second_turn(
    directory: Path, threads: int, rounds: int, say: Say, machine_dir: Path | None = MACHINE_DIR
) -> SecondTurn:
    """A prompt, a reply, and a second question, beside a prompt of that length that was never seen."""
    found = SecondTurn()
    with opened(ours(directory, threads, machine_dir=machine_dir)) as (process,):
        for turn in range(rounds + 1):
            say(f"second turn, round {turn} of {rounds}")
            asked = prompt(TURN_TOKENS, turn)
            reply = process.ask("answer", ids=asked, tokens=REPLY_TOKENS)
            again = [*asked, *reply["ids"], *prompt(SHORT_TOKENS, turn)]
            warm = process.ask("answer", ids=again, tokens=1)
            cold = process.ask("answer", ids=prompt(len(again), -turn - 1), tokens=1)
            if turn:
                found.warm_s.append(warm["first_s"])
                found.cold_s.append(cold["first_s"])
            found.reused, found.tokens = warm["reused"], len(again)
    return found


def _speed(answer: Mapping[str, Any]) -> float:
    """Tokens/s after the first."""
    return float((len(answer["ids"]) - 1) / (answer["wall_s"] - answer["first_s"]))
