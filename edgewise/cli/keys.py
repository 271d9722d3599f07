"""`edgewise keys`: make, list, rotate and revoke API keys (role operator)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, connected, find_target, operator
from edgewise.cli.paging import fetch, seconds
from edgewise.cli.tables import print_json, print_table, when
from edgewise.local.keys_file import KEYS_FILE, replace_key

app = typer.Typer(name="keys", help="API keys.", no_args_is_help=True)


@app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Of one tenant.")] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """All keys, newest first; the keys themselves are never shown again."""
    with operator(url, key, data_dir) as client:
        items = fetch(client, "/admin/v1/keys", {"tenant": tenant})
    if as_json:
        print_json(items)
        return
    print_table(("id", "key", "name", "roles", "tenant", "user tier", "device", "made", "state"), map(_row, items))


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    state = _state(item)
    roles, made = ", ".join(item["roles"]), when(item["created_at"])
    device = item["device"] or ""
    return item["id"], f"{item['prefix']}…", item["name"], roles, item["tenant"], item["user_tier"], device, made, state


def _state(item: dict[str, Any]) -> str:
    if item["revoked_at"]:
        return "revoked"
    if (end := item.get("expires_at")) is None:
        return "valid"
    return f"valid to {when(end)}" if datetime.fromisoformat(end) > datetime.now(UTC) else "expired"


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    role: Annotated[list[str], typer.Option("--role", help="operator, app or node; may be given again.")],
    tenant: Annotated[str | None, typer.Option(help="Whose key it is.")] = None,
    user_tier: Annotated[str | None, typer.Option(help="A fact that policies may read.")] = None,
    device: Annotated[str | None, typer.Option(help="Bind the key to one node.")] = None,
    expires_in: Annotated[str | None, typer.Option(help="How long it lives: 90s, 15m, 2h, 7d.")] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    wanted = {"name": name, "roles": role, "tenant": tenant, "user_tier": user_tier, "device": device}
    if expires_in:
        wanted["expires_at"] = (datetime.now(UTC) + timedelta(seconds=seconds(expires_in))).isoformat()
    body = {field: value for field, value in wanted.items() if value is not None}
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        made = call(client, "POST", "/admin/v1/keys", json=body)
    if as_json:
        print_json(made)
        return
    typer.echo(made["key"])
    typer.secho(f"key {made['id']} ({', '.join(made['roles'])}); it will not be shown again", dim=True, err=True)


@app.command("rotate")
def rotate_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.")],
    overlap: Annotated[str, typer.Option(help="How long the secret before works on: 0, 15m, 2h, 7d.")] = "1h",
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret and show it, this once. The one before works on for a while; id, streams and limits stay.

    Where the data directory's keys.json holds the secret before, the new one is put in its place.
    """
    with operator(url, key, data_dir) as client:
        before = next((item for item in fetch(client, "/admin/v1/keys") if item["id"] == key_id), None)
        path = f"/admin/v1/keys/{quote(key_id, safe='')}/rotate"
        made = call(client, "POST", path, json={"overlap_s": seconds(overlap)})
    replaced = before is not None and replace_key(data_dir / KEYS_FILE, before["prefix"], made["key"])
    if as_json:
        print_json(made)
        return
    typer.echo(made["key"])
    place = f"; it is in {data_dir / KEYS_FILE} now" if replaced else ""
    until = f"the one before works to {when(made['old_expires_at'])}"
    typer.secho(f"key {made['id']}: a new secret, not shown again; {until}{place}", dim=True, err=True)


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys list` shows it.")],
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """End a key now."""
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        ended = call(client, "DELETE", f"/admin/v1/keys/{quote(key_id, safe='')}")
    typer.echo(f"key {ended['id']} ({ended['name']}) is revoked")
