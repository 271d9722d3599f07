"""`python -m cloud_worker.forge quantize`: the table of methods, or the ranking of matrices, for a model directory."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cloud_worker.forge.card import add_tables
from cloud_worker.forge.export.room import check_room
from cloud_worker.forge.export.source import read_source
from cloud_worker.forge.quantize import rows, sensitivity
from cloud_worker.forge.quantize.methods.base import FloatModel, QuantizationMethod
from cloud_worker.forge.quantize.methods.registry import BASELINE, METHODS, method
from cloud_worker.forge.quantize.plots import draw_ranking, draw_table
from cloud_worker.forge.quantize.trial import TRIAL_ROWS, make_trial
from edgewise.observability.logs import silenced
from edgewise.wire.errors import BadRequestError, EdgewiseError

STOPPED = 130


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument("--model", type=Path, required=True, help="a Hugging Face directory: Llama, Qwen2 or Qwen3")
    command.add_argument("--methods", default="", help="names separated by commas; all when left out")
    command.add_argument("--per-cell", type=int, default=12, help="exercises per family, grade and language")
    command.add_argument("--rows", type=int, default=TRIAL_ROWS, help="answers on which logits are compared")
    command.add_argument("--calibration", type=Path, default=None, help="JSON lines with texts for activation ranges")
    command.add_argument("--rank", action="store_true", help="rank matrices by what int4 does to each alone, instead")
    command.add_argument("--out", type=Path, default=None, help="folder for quantization.json, .md and .png")
    command.add_argument("--work", type=Path, default=None, help="folder for graphs (default: a temporary one)")
    command.add_argument("--card", type=Path, default=None, help="a model directory whose card gets the tables")
    command.add_argument("--json", action="store_true", help="print JSON, and no progress bar")


def main(given: argparse.Namespace) -> int:
    """`run`, with errors told in sentences; returns the exit status."""
    try:
        return run(given)
    except EdgewiseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return STOPPED


def run(given: argparse.Namespace) -> int:
    """Do what the command line asks for; returns the exit status. Raises the errors of export/ and quantize/."""
    _check(given)
    chosen = _chosen(given.methods)
    # onnxruntime.quantization tells the root logger of every node
    with silenced(logging.WARNING), tempfile.TemporaryDirectory(prefix="edgewise-quantize-") as temporary:
        work = given.work or Path(temporary)
        return (_rank if given.rank else _table)(given, chosen, work)


class QuantizeOptionError(BadRequestError):
    """An option of the command that nothing can be measured with."""

    number, code = 1867, "quantize_option_invalid"


def _check(given: argparse.Namespace) -> None:
    """Raises QuantizeOptionError."""
    wrong = {
        "--rows": (given.rows < 1, "a whole number above zero"),
        "--per-cell": (given.per_cell < 1, "a whole number above zero"),
        "--out": (given.out is not None and given.out.exists() and not given.out.is_dir(), "a folder"),
        "--work": (given.work is not None and given.work.exists() and not given.work.is_dir(), "a folder"),
    }
    for option in (name for name, (is_wrong, _) in wrong.items() if is_wrong):
        raise QuantizeOptionError(
            f"{option} cannot be used", where=option, expected=wrong[option][1], remedy="correct the option"
        )


def _chosen(names: str) -> Sequence[QuantizationMethod]:
    if not names:
        return METHODS
    listed = [name.strip() for name in names.split(",") if name.strip()]
    return [method(name) for name in dict.fromkeys([BASELINE, *listed])]


def _table(given: argparse.Namespace, chosen: Sequence[QuantizationMethod], work: Path) -> int:
    from cloud_worker.forge.quantize.table import run_table, units

    source = read_source(given.model)
    check_room(source.sizes.parameters, work)
    trial = make_trial(source, given.per_cell, given.calibration, given.rows)
    with _bar(given.json) as bar:
        task = bar.add_task("float graph", total=len(chosen) * units(trial))

        def step(name: str, count: int) -> None:
            bar.update(task, advance=count, description=name)

        table = run_table(source, chosen, trial, work, step)
    if given.out:
        _write(given.out, "quantization", table.canonical(), rows.markdown(table), lambda path: draw_table(table, path))
    if given.card:
        add_tables(given.card, rows.card_tables(table))
    lines = [rows.shown(row) for row in table.rows]
    return _say(given.json, table.canonical(), rows.HEAD, lines, rows.reasons(table))


def _rank(given: argparse.Namespace, chosen: Sequence[QuantizationMethod], work: Path) -> int:
    from cloud_worker.forge.export.precision import float_graph

    source = read_source(given.model)
    check_room(source.sizes.parameters, work)
    trial = make_trial(source, given.per_cell, given.calibration, given.rows)
    tokenizer_file = source.directory / "tokenizer.json"
    with _bar(given.json) as bar:
        matrices = 5 * source.sizes.num_hidden_layers + 1
        task = bar.add_task("matrices", total=matrices)
        graph = float_graph(source.directory, tokenizer_file, work)
        model = FloatModel(source.directory, tokenizer_file, graph, source.sizes, work / "pieces")
        found = sensitivity.rank(model, trial.rows, trial.capacity, advance=lambda count: bar.advance(task, count))
    if given.out:
        text = sensitivity.markdown(found)
        _write(given.out, "sensitivity", found.canonical(), text, lambda path: draw_ranking(found, path))
    lines = [sensitivity.shown(row) for row in found.rows]
    return _say(given.json, found.canonical(), sensitivity.RANKING_HEAD, lines)


def _bar(quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=quiet, refresh_per_second=2)


def _write(out: Path, name: str, data: bytes, text: str, draw: Callable[[Path], Path]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_bytes(data + b"\n")
    (out / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    draw(out / f"{name}.png")


def _say(
    as_json: bool, data: bytes, head: Sequence[str], lines: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> int:
    if as_json:
        sys.stdout.write(data.decode() + "\n")
        return 0
    table = Table(*head)
    for line in lines:
        table.add_row(*line)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(table, *notes, sep="\n")
    return 0
