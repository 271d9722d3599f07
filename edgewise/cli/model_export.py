"""`edgewise model export`: a Hugging Face directory made into a model directory for devices; the forge does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli.connection import AsJson
from edgewise.cli.tables import print_table
from edgewise.wire.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command to `edgewise model`."""
    app.command("export")(export_model)


def export_model(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A Hugging Face directory: Llama, Qwen2 or Qwen3.")],
    out: Annotated[Path, typer.Option("--out", help="A new or empty folder for the model directory.")],
    precision: Annotated[
        str, typer.Option(help="int4, int8, fp32, or a method of `python -m cloud_worker.forge quantize`.")
    ] = "int4",
    name: Annotated[str, typer.Option(help="The model's name; that of the directory when left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Export a model for ONNX Runtime on devices, and say how near it is to the original."""
    try:
        import msgspec
        from rich.console import Console

        from cloud_worker.forge.export.model_directory import export_directory
    except ModuleNotFoundError as error:
        raise _missing(error.name) from error
    with Console(stderr=True).status("export", spinner="line") as status:
        done = export_directory(directory, out, precision, name=name, stage=lambda stage: status.update(stage))
    if as_json:
        typer.echo(msgspec.json.encode(done, order="sorted").decode())
        return
    far = done.against_torch
    rows = [
        ("directory", done.directory),
        ("version", done.version),
        ("method", done.method),
        ("bytes", f"{done.bytes:,}"),
        ("same token as torch", f"{far.agreement:.4f} of {far.tokens:,} places"),
        ("largest logit gap", f"{far.largest_gap:.3f}"),
        ("perplexity (torch)", f"{far.perplexity:.4f} ({far.float_perplexity:.4f})"),
    ]
    print_table(("export", ""), rows)


def _missing(package: str | None) -> ConfigError:
    return ConfigError(
        f"Exporting needs the package {package}, which is not installed",
        where="edgewise model export",
        expected="an installation with the extra forge",
        remedy="pip install 'edgewise[forge]'",
    )
