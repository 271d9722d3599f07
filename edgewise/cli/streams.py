"""`edgewise stream read | cancel`: answers that were asked for before, by their stream's id."""

from __future__ import annotations

from typing import Annotated

import typer

from edgewise.cli.ask import READ_TIMEOUT_S, print_end, print_texts, tell_break
from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, connected, find_target

stream_app = typer.Typer(name="stream", no_args_is_help=True, help="Answers that were asked for before.")
StreamId = Annotated[str, typer.Argument(metavar="STREAM", help="The stream's id; `chatcmpl-…` does too.")]


@stream_app.command()
def read(
    stream: StreamId,
    after: Annotated[str, typer.Option(help="Read on from beyond this cursor or sequence number.")] = "",
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Read an answer again, or the rest of one that is still being made."""
    from edgewise.cli.answer import AnswerReader

    with connected(find_target("app", data_dir=data_dir, url=url, key=key), timeout_s=READ_TIMEOUT_S) as client:
        reader = AnswerReader(client, on_break=tell_break)
        print_texts(reader.reread(_id_of(stream), after), silent=as_json)
    print_end(reader.answer, as_json=as_json)


@stream_app.command()
def cancel(
    stream: StreamId,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Stop an answer now; no text follows."""
    import json

    from edgewise.cli import answer

    with connected(find_target("app", data_dir=data_dir, url=url, key=key)) as client:
        found = answer.cancel(client, _id_of(stream))
    typer.echo(json.dumps(found) if as_json else f"stream {found['id']}: {found['status']}")


def _id_of(stream: str) -> str:
    return stream.removeprefix("chatcmpl-")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(stream_app)
    app.command()(cancel)
