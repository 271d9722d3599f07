"""`edgewise audit`: who changed what, when and from where (role operator)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, operator
from edgewise.cli.paging import SHOWN, Every, Since, Until, download, fetch, moment
from edgewise.cli.tables import print_json, print_table, when

app = typer.Typer(name="audit", help="The log of every change.", no_args_is_help=True)
Actor = Annotated[str | None, typer.Option(help="A key's id, or system.")]
Action = Annotated[str | None, typer.Option(help="Such as policy.activate, or a whole family: policy.")]
Target = Annotated[str | None, typer.Option(help="Such as policy/2 or node/phone-7.")]
_BASE = "/admin/v1/audit"


@app.command("list")
def list_audit(
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    since: Since = None,
    until: Until = None,
    every: Every = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Changes, newest first."""
    with operator(url, key, data_dir) as client:
        items = fetch(client, _BASE, _params(actor, action, target, since, until), limit=None if every else SHOWN)
    if as_json:
        print_json(items)
        return
    rows = ((when(i["at"]), i["actor"], i["action"], i["target"], _change(i), i["address"] or "") for i in items)
    print_table(("at", "who", "did", "to", "change", "from"), rows)


def _change(item: dict[str, Any]) -> str:
    before, after = item["before"] or "", item["after"] or ""
    return f"{before[:40]} → {after[:40]}" if before and after else (before or after)[:80]


@app.command("export")
def export(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Standard output when left out.")] = None,
    format: Annotated[str, typer.Option("--format", help="jsonl or csv.")] = "jsonl",
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    since: Since = None,
    until: Until = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Every change that matches."""
    params = {**_params(actor, action, target, since, until), "format": format}
    with operator(url, key, data_dir) as client:
        size = download(client, f"{_BASE}/export", params, file)
    if file:
        typer.echo(f"{size} bytes in {file}")


def _params(
    actor: str | None, action: str | None, target: str | None, since: str | None, until: str | None
) -> dict[str, Any]:
    return {"actor": actor, "action": action, "target": target, "since": moment(since), "until": moment(until)}
