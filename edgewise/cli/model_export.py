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
    block: Annotated[
        int | None, typer.Option(help="With int4 or int8: values that share a scale (32, 64 or 128).")
    ] = None,
    hidden_states: Annotated[
        bool, typer.Option("--hidden-states", help="Give the hidden states of the chosen rows beside the logits.")
    ] = False,
    kv: Annotated[
        str, typer.Option("--kv", help="The key-value cache: float32, or int8 (a quarter of it).")
    ] = "float32",
    tensors: Annotated[
        bool | None,
        typer.Option("--tensors/--one-file", help="Large tensors in files of their own. Default: from 16 MB on."),
    ] = None,
    adapter_rank: Annotated[
        int, typer.Option("--adapter-rank", metavar="R", help="Take low-rank adapters up to this rank; 0 takes none.")
    ] = 0,
    adapter_modules: Annotated[
        str, typer.Option("--adapter-modules", metavar="NAMES", help="What they change: q_proj,v_proj. Default: all.")
    ] = "",
    name: Annotated[str, typer.Option(help="The model's name; that of the directory when left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Export a model for ONNX Runtime on devices, and say how near it is to the original."""
    try:
        import msgspec
        from rich.console import Console

        from cloud_worker.forge.export.model_directory import export_directory
        from cloud_worker.forge.export.options import ExportOptions
        from cloud_worker.forge.export.report import rows
    except ModuleNotFoundError as error:
        raise _missing(error.name) from error
    options = ExportOptions(
        precision=precision,
        block=block,
        hidden_states=hidden_states,
        cache=kv,
        tensors=tensors,
        adapter_rank=adapter_rank,
        adapter_modules=tuple(filter(None, adapter_modules.split(","))),
    )
    with Console(stderr=True).status("export", spinner="line") as status:
        done = export_directory(directory, out, options, name=name, stage=lambda stage: status.update(stage))
    if as_json:
        typer.echo(msgspec.json.encode(done, order="sorted").decode())
        return
    minded = [("mind", warning) for warning in done.warnings]
    described = rows(done.method, done.graph, done.against_torch)
    print_table(("export", ""), [("directory", done.directory), ("version", done.version), *described, *minded])


def _missing(package: str | None) -> ConfigError:
    return ConfigError(
        f"Exporting needs the package {package}, which is not installed",
        where="edgewise model export",
        expected="an installation with the extra forge",
        remedy="pip install 'edgewise[forge]'",
    )
