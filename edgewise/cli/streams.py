"""`edgewise cancel`: stop an answer that is being streamed."""

from __future__ import annotations

from typing import Annotated

import typer

from edgewise.cli.connection import DATA_DIR, DataDir, Key, Url, connected, find_target


def cancel(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="The stream's id; `chatcmpl-…` does too.")],
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Stop an answer now; no text follows."""
    from edgewise.cli import answer

    with connected(find_target("app", data_dir=data_dir, url=url, key=key)) as client:
        found = answer.cancel(client, stream.removeprefix("chatcmpl-"))
    typer.echo(f"stream {found['id']}: {found['status']}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(cancel)
