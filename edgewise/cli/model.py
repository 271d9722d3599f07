"""`edgewise model`: making and understanding models; the commands are in files of their own."""

from __future__ import annotations

import typer

from edgewise.cli import curriculum, model_adapter, model_export, model_import

app = typer.Typer(name="model", help="Make models: what they learn.", no_args_is_help=True)
curriculum.register(app)
model_export.register(app)
model_import.register(app)
model_adapter.register(app)
