"""`edgewise policy list | show | save | apply | activate | rollback`: versions that a control plane keeps."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, operator
from edgewise.cli.paging import fetch
from edgewise.cli.policy_files import PolicyFile, read_policy
from edgewise.cli.tables import print_json, print_table, when

BASE = "/admin/v1/policies"


def list_policies(url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False) -> None:
    """All saved versions, newest first."""
    with operator(url, key, data_dir) as client:
        items = fetch(client, BASE)
    if as_json:
        print_json(items)
        return
    print_table(("version", "", "name", "digest", "saved", "note"), map(_row, items))


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    active, saved = "active" if item["active"] else "", when(item["created_at"])
    return str(item["version"]), active, item["name"], item["digest"][:12], saved, item["note"]


def show_policy(
    version: Annotated[int | None, typer.Argument(help="A version; the policy in force when left out.")] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Print a policy's YAML, to be edited and applied."""
    with operator(url, key, data_dir) as client:
        found = call(client, "GET", f"{BASE}/{version or 'active'}")
    if as_json:
        print_json(found)
        return
    text: str = found["text"]
    typer.echo(text, nl=not text.endswith("\n"))


def save_policy(
    file: PolicyFile,
    note: Annotated[str, typer.Option(help="Why, for those who come after.")] = "",
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Save a document as the next version, not in force yet: to be activated, or to be rolled out by stages."""
    with operator(url, key, data_dir) as client:
        saved = call(client, "POST", BASE, json={"text": read_policy(file), "note": note})
    if as_json:
        print_json(saved)
        return
    typer.echo(f"policy {saved['name']}@{saved['version']} ({saved['digest'][:12]}) is saved, and not in force yet")


def apply_policy(
    file: PolicyFile,
    note: Annotated[str, typer.Option(help="Why, for those who come after.")] = "",
    expect: Annotated[
        str | None, typer.Option(help="Only while the policy with this digest is the one in force.")
    ] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Save a document as the next version and put it in force, once its own tests pass."""
    body: dict[str, Any] = {"text": read_policy(file), "note": note, "activate": True}
    if expect:
        body["expected_digest"] = expect
    with operator(url, key, data_dir) as client:
        saved = call(client, "POST", BASE, json=body)
    if as_json:
        print_json(saved)
        return
    typer.echo(f"policy {saved['name']}, version {saved['version']} ({saved['digest'][:12]}) is in force")


def activate(
    version: Annotated[int, typer.Argument(help="A version, as `policy list` shows it.")],
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Put a saved version in force, once its own tests pass."""
    with operator(url, key, data_dir) as client:
        now = call(client, "POST", f"{BASE}/{version}/activate", json={})
    _show_now(now, "is in force", as_json)


def roll_back(url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False) -> None:
    """Return to the policy that was in force before."""
    with operator(url, key, data_dir) as client:
        now = call(client, "POST", f"{BASE}/rollback", json={})
    _show_now(now, "is in force again", as_json)


def _show_now(now: dict[str, Any], told: str, as_json: bool) -> None:
    if as_json:
        print_json(now)
    else:
        typer.echo(f"version {now['version']} ({now['digest'][:12]}) {told}")
