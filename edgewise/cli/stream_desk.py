"""`edgewise streams`: what is being streamed and what was, of every key; stop one (role operator)."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, operator
from edgewise.cli.paging import SHOWN, Every, Since, fetch, moment
from edgewise.cli.tables import print_json, print_table, when

app = typer.Typer(name="streams", help="Answers of every key, for operators.", no_args_is_help=True)
Stream = Annotated[str, typer.Argument(metavar="STREAM", help="The stream's id; `chatcmpl-…` does too.")]
_BASE = "/admin/v1/streams"


@app.command("list")
def list_streams(
    state: Annotated[str | None, typer.Option(help="open, done, failed, cancelled or unsettled.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of one tenant.")] = None,
    of_key: Annotated[str | None, typer.Option("--of-key", help="Of one key, by its id.")] = None,
    tier: Annotated[str | None, typer.Option(help="Such as edge:phone-7.")] = None,
    since: Since = None,
    every: Every = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Streams, newest first; never what was said."""
    params = {"state": state, "tenant": tenant, "key": of_key, "tier": tier, "since": moment(since)}
    with operator(url, key, data_dir) as client:
        items = fetch(client, _BASE, params, limit=None if every else SHOWN)
    if as_json:
        print_json(items)
        return
    print_table(("stream", "state", "began", "tenant", "tier", "mode", "first token", "tokens"), map(_row, items))


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    first, tokens = item["first_token_s"], item["completion_tokens"]
    return (
        item["stream_id"],
        item["error_code"] or item["state"],
        when(item["at"]),
        item["tenant"] or "",
        item["tier"] or "",
        item["mode"] or "",
        "" if first is None else f"{first * 1000:.0f} ms",
        "" if tokens is None else str(tokens),
    )


@app.command("show")
def show_stream(
    stream: Stream,
    text: Annotated[bool, typer.Option("--text", help="Show what was said too; this is audited.")] = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """One stream as JSON: its head, decision, timings and tiers."""
    with operator(url, key, data_dir) as client:
        print_json(call(client, "GET", f"{_BASE}/{quote(stream, safe='')}", params={"include_text": text}))


@app.command("cancel")
def cancel_stream(stream: Stream, url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR) -> None:
    """Stop an answer now, whoever asked for it."""
    with operator(url, key, data_dir) as client:
        found = call(client, "DELETE", f"{_BASE}/{quote(stream, safe='')}")
    typer.echo(f"stream {found['id']}: {found['status']}")
