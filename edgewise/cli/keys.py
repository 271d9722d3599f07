"""`edgewise keys`: make, list and revoke API keys (role operator)."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, connected, find_target
from edgewise.cli.tables import print_json, print_table, when

app = typer.Typer(name="keys", help="API keys.", no_args_is_help=True)


@app.command("list")
def list_keys(url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False) -> None:
    """Keys, newest first; the keys themselves are never shown again."""
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        items = call(client, "GET", "/admin/v1/keys", params={"limit": 200})["items"]
    if as_json:
        print_json(items)
        return
    print_table(("id", "key", "name", "roles", "tenant", "user tier", "device", "made", "state"), map(_row, items))


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    state = "revoked" if item["revoked_at"] else "valid"
    roles, made = ", ".join(item["roles"]), when(item["created_at"])
    device = item["device"] or ""
    return item["id"], f"{item['prefix']}…", item["name"], roles, item["tenant"], item["user_tier"], device, made, state


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    role: Annotated[list[str], typer.Option("--role", help="operator, app or node; may be given again.")],
    tenant: Annotated[str | None, typer.Option(help="Whose key it is.")] = None,
    user_tier: Annotated[str | None, typer.Option(help="A fact that policies may read.")] = None,
    device: Annotated[str | None, typer.Option(help="Bind the key to one node.")] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    wanted = {"name": name, "roles": role, "tenant": tenant, "user_tier": user_tier, "device": device}
    body = {field: value for field, value in wanted.items() if value is not None}
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        made = call(client, "POST", "/admin/v1/keys", json=body)
    if as_json:
        print_json(made)
        return
    typer.echo(made["key"])
    typer.secho(f"key {made['id']} ({', '.join(made['roles'])}); it will not be shown again", dim=True, err=True)


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
