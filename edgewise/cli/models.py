"""`edgewise models`: registered model versions, and which one is wanted on which tier (role operator)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, operator
from edgewise.cli.tables import print_json, print_table, when
from edgewise.wire.errors import BadRequestError
from edgewise.wire.findings import FINDINGS_FILE
from edgewise.wire.manifest import MANIFEST_FILE, parse_manifest

if TYPE_CHECKING:
    import httpx

app = typer.Typer(name="models", help="Model versions.", no_args_is_help=True)
Version = Annotated[str, typer.Argument(metavar="VERSION", help="A version's id, or the beginning of it.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The model's public name.")]
TierName = Annotated[str, typer.Argument(metavar="TIER", help="edge or cloud.")]
Tenant = Annotated[str, typer.Option("--tenant", help="For one tenant only.")]
_BASE = "/admin/v1/models"


@app.command("list")
def list_models(url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False) -> None:
    """Registered versions, and where they are wanted."""
    with operator(url, key, data_dir) as client:
        items = call(client, "GET", _BASE)["items"]
        active = call(client, "GET", f"{_BASE}/active")["items"]
    if as_json:
        print_json({"items": items, "active": active})
        return
    rows = [
        (
            i["name"],
            i["id"][:12],
            i["tier"],
            i["format"],
            str(i["context_tokens"]),
            i["gates"],
            _wanted(i, active),
            when(i["registered_at"]),
        )
        for i in items
    ]
    print_table(("model", "version", "tier", "format", "context", "gates", "wanted on", "registered"), rows)


def _wanted(item: dict[str, Any], active: list[dict[str, Any]]) -> str:
    mine = [a for a in active if a["name"] == item["name"] and a["version_id"] == item["id"]]
    return ", ".join(_place(a) + (" (required)" if a["required"] else "") for a in mine)


def _place(found: dict[str, Any]) -> str:
    return f"{found['tier']} of {found['tenant']}" if found["tenant"] else str(found["tier"])


@app.command("show")
def show_model(
    version: Version, url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False
) -> None:
    """A version's card; with --json its manifest too."""
    with operator(url, key, data_dir) as client:
        found = call(client, "GET", f"{_BASE}/{_find(client, version)['id']}")
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['name']} {found['id']}")
    typer.echo(found["card"] or "no card was sent with this version")


@app.command("register")
def register_model(
    path: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="A model directory, or its manifest.json.")],
    override: Annotated[
        str | None, typer.Option(metavar="REASON", help="Register it although its gates fail; audited.")
    ] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Send a manifest (with the card and findings beside it), so that nodes may offer that version. No weights are
    sent."""
    file = path / MANIFEST_FILE if path.is_dir() else path
    raw = _read(file)
    manifest = parse_manifest(raw.encode(), str(file))
    card = file.parent / Path(manifest.card).name
    findings = file.parent / FINDINGS_FILE
    body = {"manifest": _json(raw), "expected_id": manifest.id, "card": _read(card) if card.is_file() else None}
    body |= {"findings": _read(findings) if findings.is_file() else None, "override": override}
    with operator(url, key, data_dir) as client:
        made = call(client, "POST", _BASE, json=_given(body))
    typer.echo(f"model {made['name']}, version {made['id']} is registered; gates: {made['gates']}")
    typer.secho(f"to want it: edgewise models activate {made['id'][:12]}", dim=True, err=True)


@app.command("activate")
def activate_model(
    version: Version,
    tier: Annotated[str | None, typer.Option(help="edge or cloud; the manifest's own when left out.")] = None,
    name: Annotated[str | None, typer.Option(help="The public name, where the version has several.")] = None,
    tenant: Tenant = "",
    required: Annotated[bool, typer.Option("--required", help="Do not use tiers with another version at all.")] = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Want this version on a tier: nodes that have it come first, others are told."""
    body = {"name": name, "tier": tier, "tenant": tenant, "required": required}
    with operator(url, key, data_dir) as client:
        version_id = _find(client, version)["id"]
        now = call(client, "POST", f"{_BASE}/{version_id}/activate", json=_given(body))
    typer.echo(f"model {now['name']}: version {now['version_id'][:12]} is wanted on {_place(now)}")


@app.command("deactivate")
def deactivate_model(
    name: Name, tier: TierName, tenant: Tenant = "", url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR
) -> None:
    """Want no version in particular any more."""
    with operator(url, key, data_dir) as client:
        now = call(client, "POST", f"{_BASE}/deactivate", json={"name": name, "tier": tier, "tenant": tenant})
    typer.echo(f"model {now['name']}: any registered version will do on {_place(now)}")


@app.command("rollback")
def roll_back_model(
    name: Name, tier: TierName, tenant: Tenant = "", url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR
) -> None:
    """Want the version that was wanted before."""
    with operator(url, key, data_dir) as client:
        now = call(client, "POST", f"{_BASE}/rollback", json={"name": name, "tier": tier, "tenant": tenant})
    version = now["version_id"]
    typer.echo(f"model {now['name']}: {version[:12] if version else 'any version'} is wanted on {_place(now)} again")


def _find(client: httpx.Client, version: str) -> dict[str, Any]:
    """The registered version whose id begins so. Raises BadRequestError for none and for several."""
    items = call(client, "GET", _BASE)["items"]
    found = {item["id"]: item for item in items if item["id"].startswith(version.lower())}
    if len(found) != 1:
        raise BadRequestError(
            f"{len(found) or 'No'} registered versions begin with {version!r}",
            expected="the beginning of one version's id",
            remedy="run `edgewise models list`",
        )
    return next(iter(found.values()))


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _json(raw: str) -> Any:
    import msgspec

    return msgspec.json.decode(raw)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequestError(
            f"The file cannot be read: {error}", where=str(file), expected="a model directory or its manifest.json"
        ) from error
