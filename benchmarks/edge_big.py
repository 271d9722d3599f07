"""The 4 GB phone profile on this machine: `python -m benchmarks.edge_big`, or `benchmarks.edge --big`. A 1.5 B shape in
int4 with random weights: its memory against the plan, held by a limit of the kernel, and its speed beside llama.cpp.

Rows and verdicts are edge_big_rows.py's, the model is made by edge_big_model.py.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import edge_big_rows
from benchmarks.edge_big_rows import FULL_TOKENS, Held, Profile
from benchmarks.edge_limit import bandwidth
from benchmarks.edge_models import HOME, MODELS, SHAPES, Say, once
from benchmarks.edge_peers import LLAMA, LLAMA_VERSION, THREADS, Subject, call, install_llama, our_model, ours
from benchmarks.edge_process import EngineProcess, PeerError
from benchmarks.edge_rounds import WRITTEN_TOKENS, Samples, in_turn, memory_of, peak_mb, prompt
from benchmarks.edge_rows import limit_rows, lost_row
from benchmarks.report import Report, Row, machine, show
from cloud_worker.architectures import model_sizes
from cloud_worker.forge.plan.kv import KvShape, bytes_per_token
from cloud_worker.forge.plan.phone import Phone, Weights, plan_phone
from edgewise.wire.manifest import load_manifest

MODEL: Final = "1.5b"
TEMPLATE: Final = "1.5b-2-layers"
FIRST_TOKENS: Final = (16, 64, 256)
ROUNDS: Final = 3
PACKED, PLAIN = "mapped from the prepacked copy", "packed at every load"


def our_big_model(say: Say, models: Path = MODELS) -> Path:
    """A model directory of ours of a shape that is too large to export here: of two exported layers, one is repeated.

    Made on the first call. Raises PeerError.
    """
    source, layers = our_model(TEMPLATE, say, models), SHAPES[MODEL].num_hidden_layers

    def repeat(folder: Path) -> None:
        call([sys.executable, "-m", "benchmarks.edge_big_model", str(source), str(folder), str(layers)])

    return once(models / f"{MODEL}-int4", f"{layers} layers of two, {MODEL}", say, repeat)


def llama_subjects(say: Say, models: Path = MODELS, home: Path = HOME) -> list[Subject]:
    """llama.cpp on random Q4_0 blocks of the shape. Raises PeerError where it cannot be built."""
    python = install_llama(home, say)
    file = models / f"{MODEL}-q4_0" / "model.gguf"

    def draw(folder: Path) -> None:
        call([str(python), "-m", "benchmarks.edge_big_gguf", MODEL, str(folder / file.name)])

    once(file.parent, f"GGUF Q4_0, {MODEL}", say, draw)
    command = (str(python), "-m", "benchmarks.edge_peers_llama", str(file))
    return [Subject(LLAMA, threads, (*command, str(threads))) for threads in THREADS]


def run(directory: Path, rounds: int, say: Say, *, peers: bool = True, home: Path = HOME) -> list[Row]:
    """All rows of a model directory of ours. Prepacked copies are made anew in `home`, and taken away again."""
    profile, (bytes_per_s, unread) = profile_of(directory), read_memory(say)
    most = max(THREADS)
    with _emptied(home / "phone") as place:
        theirs, reason = _theirs(say) if peers else ([], "")
        rows = edge_big_rows.packing_rows(profile, *pack(directory, place, say))
        ways = {PACKED: held(ours(directory, most, machine_dir=place), PACKED, say, profile.room_mb)}
        ways[PLAIN] = held(ours(directory, most, machine_dir=None), PLAIN, say, profile.room_mb)
        if theirs:
            ways[LLAMA] = held(theirs[0], LLAMA, say)
        mine = [ours(directory, threads, machine_dir=place) for threads in THREADS]
        found = in_turn([*mine, *theirs], rounds, say, take_turn)
    rows = [*edge_big_rows.memory_rows(profile, ways, PACKED), *rows, *limit_rows(bytes_per_s), *unread]
    return [*rows, *edge_big_rows.speed_rows(profile, found, {LLAMA: reason} if reason else {}, bytes_per_s)]


def rows_of(ready: Callable[[Say], Path], rounds: int, say: Say, *, peers: bool = True) -> list[Row]:
    """All rows of the model that `ready` makes, or one that says why there are none."""
    try:
        return run(ready(say), rounds, say, peers=peers)
    except PeerError as error:
        return [lost_row("phone profile", "", "higher", str(error))]


def read_memory(
    say: Say, measure: Callable[[Sequence[int], Say], dict[int, float]] = bandwidth
) -> tuple[dict[int, float], list[Row]]:
    """Bytes a second by threads; none, and a row that says why, where that cannot be measured."""
    try:
        return measure(THREADS, say), []
    except PeerError as error:
        return {}, [lost_row("memory bandwidth", "GB/s", "higher", str(error))]


@contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """An empty folder for a while; what a killed run left there goes too."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def profile_of(directory: Path) -> Profile:
    """The phone's plan for a model directory of ours."""
    sizes, phone = model_sizes(directory), Phone()
    return Profile(
        phone=phone,
        plan=plan_phone(Weights.of(sizes, "int4", "int4", "float32"), phone),
        manifest=load_manifest(directory, verify=False),
        kv_token_bytes=bytes_per_token(KvShape.of(sizes), "float32"),
    )


def _theirs(say: Say) -> tuple[list[Subject], str]:
    """llama.cpp, or why not."""
    try:
        return llama_subjects(say), ""
    except (PeerError, OSError) as error:
        return [], f"llama.cpp {LLAMA_VERSION}: {error}"


def pack(directory: Path, place: Path, say: Say) -> tuple[float, str]:
    """The most memory in MB of the process that packs the weights into `place`; or why nobody knows."""
    say("packing the weights")
    try:
        process = ours(directory, 1, machine_dir=place).start()
    except PeerError as error:
        return math.nan, str(error)
    try:
        peak = process.ask("packing")["peak_bytes"] / 1e6
    except PeerError as error:
        return math.nan, str(error)
    finally:
        process.close()
    made = any(place.glob("prepacked/*/note.json"))
    return (peak, "") if made else (math.nan, "no copy was made: the log of the engine says why")


def held(subject: Subject, way: str, say: Say, limit_mb: float = math.nan) -> Held:
    """Load, fill a cache of 512 tokens, and look at what the kernel counts.

    With `limit_mb` (our engine alone knows the word) the kernel refuses it more private writable memory than that
    (RLIMIT_DATA). ONNX Runtime's mappings of files count too, so this is stricter than a limit of anonymous memory.
    """
    if not math.isnan(limit_mb):
        subject = replace(subject, command=(*subject.command, "--private-mb", str(int(limit_mb))))
    say(f"memory, {way}")
    try:
        process = subject.start()
    except PeerError as error:
        return Held(limit_mb=limit_mb, reason=str(error))
    try:
        process.ask("read", ids=prompt(FULL_TOKENS - WRITTEN_TOKENS, 0))
        process.ask("write", count=WRITTEN_TOKENS)
        rss, anonymous = memory_of(process)
        load_s, peak = process.opened["wall_s"], peak_mb(process)
        return Held(limit_mb=limit_mb, load_s=load_s, peak_mb=peak, rss_mb=rss, anonymous_mb=anonymous)
    except PeerError as error:
        return Held(limit_mb=limit_mb, reason=str(error))
    finally:
        process.close()


def take_turn(process: EngineProcess, samples: Samples, seed: int, *, counted: bool) -> None:
    """First tokens of prompts that were never seen, each longer than the one before, and tokens after the last."""
    firsts = {tokens: process.ask("read", ids=prompt(tokens, seed)) for tokens in FIRST_TOKENS}
    written = process.ask("write", count=WRITTEN_TOKENS)
    if counted:
        for tokens, first in firsts.items():
            samples.first_ms_by_tokens.setdefault(tokens, []).append(1e3 * first["wall_s"])
        samples.prefill.append(max(FIRST_TOKENS) / firsts[max(FIRST_TOKENS)]["wall_s"])
        samples.decode.append(WRITTEN_TOKENS / written["wall_s"])
        samples.decode_cpu_ms.append(1e3 * written["cpu_s"] / WRITTEN_TOKENS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything and print it."""
    given = _parser().parse_args(arguments)
    rows = rows_of(lambda say: given.model or our_big_model(say), given.rounds, _say, peers=not given.alone)
    show(Report("4 GB phone profile", machine(), rows), as_json=given.json)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge_big", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="so many rounds")
    parser.add_argument("--alone", action="store_true", help="ours alone, without llama.cpp")
    parser.add_argument("--model", type=Path, help="a model directory of ours, instead of the random 1.5 B one")
    return parser


if __name__ == "__main__":
    main()
