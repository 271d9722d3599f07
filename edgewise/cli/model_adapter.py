"""`edgewise model adapter`: a LoRA adapter as PEFT saves it, made into the file that a device loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli.connection import AsJson
from edgewise.cli.tables import print_table
from edgewise.wire.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command to `edgewise model`."""
    app.command("adapter")(make_adapter)


def make_adapter(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="adapter_config.json, adapter_model.safetensors.")],
    base: Annotated[Path, typer.Option("--base", metavar="MODEL", help="The edge model directory that it is for.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write, or a folder for it.")],
    as_json: AsJson = False,
) -> None:
    """Make an adapter for devices, and check that it fits the model."""
    try:
        import msgspec
        from rich.console import Console

        from cloud_worker.forge.export.adapter_files import convert_adapter
    except ModuleNotFoundError as error:
        raise _missing(error.name) from error
    with Console(stderr=True).status("checking the base", spinner="line"):
        done = convert_adapter(directory, base, out)
    if as_json:
        typer.echo(msgspec.json.encode(done, order="sorted").decode())
        return
    told = [
        ("file", f"{done.file}, {done.bytes:,} bytes"),
        ("digest", done.digest),
        ("for the model", f"{done.base_name}, version {done.base[:12]}…"),
        ("changes", f"{', '.join(done.modules)}, up to rank {done.rank}"),
    ]
    print_table(("adapter", ""), told)


def _missing(package: str | None) -> ConfigError:
    return ConfigError(
        f"Making an adapter needs the package {package}, which is not installed",
        where="edgewise model adapter",
        expected="an installation with ONNX Runtime",
        remedy="pip install 'edgewise[forge]'",
    )
