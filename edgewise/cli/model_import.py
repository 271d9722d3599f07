"""`edgewise model import`: a user's own model made into an edge and a cloud version. The forge does the work."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli import models
from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, find_target
from edgewise.cli.tables import print_table
from edgewise.observability.logs import silenced
from edgewise.wire.errors import BadRequestError, ConfigError

if TYPE_CHECKING:
    from cloud_worker.forge.import_model.pipeline import ImportReport, ImportRequest
    from cloud_worker.forge.jobs.claim import Told
    from cloud_worker.forge.jobs.stages import Progress

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,55}")
IMPORTED = Path("imported")


class ImportGatesError(BadRequestError):
    """The import is finished, and its edge version does not pass the gates."""

    number, code = 1872, "import_gates_failed"


def register(app: typer.Typer) -> None:
    """Add the command to `edgewise model`."""
    app.command("import")(import_model)


def import_model(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A Hugging Face directory: Llama, Qwen2 or Qwen3.")],
    name: Annotated[str, typer.Option(help="The model's name; that of the directory when left out.")] = "",
    prompts: Annotated[
        Path | None,
        typer.Option(help="JSONL of your own prompts, {prompt, language?, answer?}, to judge it by."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="int4, int8, fp32, or a method of `python -m cloud_worker.forge quantize`.")
    ] = "int4",
    out: Annotated[Path | None, typer.Option(help="Folder for edge/ and cloud/. Default: imported/NAME.")] = None,
    context: Annotated[int, typer.Option(min=2, help="The most tokens of prompt and answer.")] = 4096,
    answer_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of a judged answer.")] = 128,
    registered: Annotated[bool, typer.Option("--register", help="Register both versions.")] = False,
    override: Annotated[
        str | None, typer.Option(metavar="REASON", help="Register them although gates fail; audited.")
    ] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Check a model, quantize and export it for the edge, lay it out for the cloud, judge and register it.

    Started again after it was killed, it goes on from its finished stages.
    """
    called = _name(name or directory.absolute().name)
    if registered:
        find_target("operator", data_dir=data_dir, url=url, key=key)  # a missing key is said before the work
    place = out or IMPORTED / called
    try:
        from cloud_worker.forge.import_model.pipeline import ImportRequest
    except ModuleNotFoundError as error:
        raise _missing(error.name) from error
    asked = ImportRequest(
        directory=directory, name=called, out=place, precision=precision, prompts=prompts, context_tokens=context,
        answer_tokens=answer_tokens,
    )  # fmt: skip
    report = _run(asked)
    _show(report, as_json)
    if is_refused(report, registered, override):
        raise _fails(report, place)
    if registered:
        with redirect_stdout(sys.stderr if as_json else sys.stdout):
            for version in (report.cloud, report.edge):
                models.register_model(Path(version.directory), override, url, key, data_dir)


def is_refused(report: ImportReport, registered: bool, override: str | None) -> bool:
    """Whether gates that fail end the command: a reason counts only where it is written down, at the registration."""
    return bool(report.failing) and not (registered and override)


def _run(asked: ImportRequest) -> ImportReport:
    """The import under a progress bar; what libraries log below warnings is not shown."""
    from cloud_worker.forge.import_model.pipeline import import_model

    try:
        with silenced(logging.INFO), _bar() as progress:
            return import_model(asked, progress)
    except ModuleNotFoundError as error:
        raise _missing(error.name) from error


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from cloud_worker.forge.import_model import STAGES
    from cloud_worker.forge.jobs.stages import Meter

    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Bars(*columns, TextColumn("{task.description}"), console=Console(stderr=True)) as bars:
        task = bars.add_task("check", total=1.0)

        def send(told: Told) -> None:
            bars.update(task, completed=told.fraction, description=told.message)

        yield Meter(STAGES, send)


def _show(report: ImportReport, as_json: bool) -> None:
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(report, order="sorted").decode())
        return
    rows = [
        (tier, version.directory, version.manifest_id[:12], f"{version.bytes:,}")
        for tier, version in (("edge", report.edge), ("cloud", report.cloud))
    ]
    print_table(("tier", "directory", "version", "bytes"), rows)
    typer.echo(f"{report.name}: {report.model_type}, {report.parameters:,} parameters, edge by {report.method}")
    for warning in report.warnings:
        typer.echo(f"mind: {warning}")
    if report.cloud_fault:
        typer.echo(f"the cloud version cannot run on a cloud worker now: {report.cloud_fault}")
    if not report.judged:
        typer.echo("not judged: give your own prompts with --prompts FILE")
    for words, holds in report.gates:
        typer.echo(f"gate {'holds' if holds else 'fails'}: {words}")


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BadRequestError(
            f"A model cannot be called {name[:80]!r}",
            where="--name",
            expected="letters, digits, dots, dashes and underscores, at most 56",
            remedy="give another name with --name",
        )
    return name


def _fails(report: ImportReport, place: Path) -> ImportGatesError:
    return ImportGatesError(
        f"{len(report.failing)} gates do not hold: " + "; ".join(report.failing[:6]),
        where=str(place / "edge"),
        expected="every gate to hold in every language",
        remedy="try --precision int8; or take it all the same with --register --override REASON, which is audited",
    )


def _missing(package: str | None) -> ConfigError:
    return ConfigError(
        f"Importing needs the package {package}, which is not installed",
        where="edgewise model import",
        expected="an installation with the extra forge",
        remedy="pip install 'edgewise[forge]'",
    )
