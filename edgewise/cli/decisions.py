"""`edgewise decisions`: search, count and export what was decided (role operator)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, operator
from edgewise.cli.paging import SHOWN, Every, Since, Until, download, fetch, moment
from edgewise.cli.tables import print_json, print_table, when

app = typer.Typer(name="decisions", help="What was decided, and why.", no_args_is_help=True)
Tenant = Annotated[str | None, typer.Option(help="Of one tenant.")]
OfKey = Annotated[str | None, typer.Option("--of-key", help="Of one key, by its id.")]
Mode = Annotated[str | None, typer.Option(help="Such as race.")]
Rule = Annotated[str | None, typer.Option(help="A rule's id.")]
Tier = Annotated[str | None, typer.Option(help="Such as edge:phone-7.")]
Status = Annotated[str | None, typer.Option(help="running, done, failed or cancelled.")]
Model = Annotated[str | None, typer.Option(help="The model that was asked for.")]
PolicyDigest = Annotated[str | None, typer.Option("--policy", help="A policy's digest, or its beginning.")]
SlowerThan = Annotated[float | None, typer.Option("--slower-than-ms", help="First token no earlier than this.")]
_BASE = "/admin/v1/decisions"


@app.command("list")
def list_decisions(
    tenant: Tenant = None,
    of_key: OfKey = None,
    mode: Mode = None,
    rule: Rule = None,
    tier: Tier = None,
    status: Status = None,
    model: Model = None,
    policy: PolicyDigest = None,
    slower_than_ms: SlowerThan = None,
    since: Since = None,
    until: Until = None,
    every: Every = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Decisions, newest first; `edgewise policy explain STREAM` tells more of one."""
    params = _params(tenant, of_key, mode, rule, tier, status, model, policy, slower_than_ms, since, until)
    with operator(url, key, data_dir) as client:
        items = fetch(client, _BASE, params, limit=None if every else SHOWN)
    if as_json:
        print_json(items)
        return
    columns = ("stream", "at", "mode", "rule", "tier", "state", "first token", "tenant", "terms")
    said = any(item.get("terms") for item in items)  # most policies ask nothing beside the mode
    print_table(columns if said else columns[:-1], (_row(item) if said else _row(item)[:-1] for item in items))


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    first = item["first_token_s"]
    return (
        item["stream_id"],
        when(item["at"]),
        item["mode"],
        item["rule"],
        item["last_tier"] or item["tier"],
        item["error_code"] or item["status"],
        "" if first is None else f"{first * 1000:.0f} ms",
        item["tenant"],
        tell_terms(item.get("terms")),
    )


def tell_terms(terms: dict[str, Any] | None) -> str:
    """What a decision asked beside its mode, in one line; empty for nothing, and where it was not recorded."""
    return ", ".join(f"{name} {_told(value)}" for name, value in (terms or {}).items())


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return f"({', '.join(f'{name} {_told(each)}' for name, each in value.items() if each not in (None, ''))})"
    return " ".join(map(_told, value)) if isinstance(value, list) else str(value)


@app.command("summary")
def summarize(
    tenant: Tenant = None,
    mode: Mode = None,
    rule: Rule = None,
    tier: Tier = None,
    policy: PolicyDigest = None,
    since: Since = "24h",
    until: Until = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Counts by mode, rule and tier, and how long first tokens took; of the last day, unless --since says otherwise."""
    params = _params(tenant, None, mode, rule, tier, None, None, policy, None, since, until)
    given = {name: value for name, value in params.items() if value is not None}
    with operator(url, key, data_dir) as client:
        found = call(client, "GET", f"{_BASE}/summary", params=given)
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['decisions']} decisions; first token {_quantiles(found['first_token'])}")
    for column in ("mode", "rule", "tier", "status"):
        print_table((column, "decisions"), ((value or "none", str(n)) for value, n in found[column].items()))


def _quantiles(found: dict[str, Any]) -> str:
    if not found["count"]:
        return "unknown"
    return ", ".join(f"p{share} {found[f'p{share}_s'] * 1000:.0f} ms" for share in (50, 95, 99))


@app.command("export")
def export(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Standard output when left out.")] = None,
    format: Annotated[str, typer.Option("--format", help="jsonl or csv.")] = "jsonl",
    tenant: Tenant = None,
    of_key: OfKey = None,
    mode: Mode = None,
    rule: Rule = None,
    tier: Tier = None,
    status: Status = None,
    model: Model = None,
    policy: PolicyDigest = None,
    since: Since = None,
    until: Until = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Every decision that matches, newest first, without any text of it."""
    params = _params(tenant, of_key, mode, rule, tier, status, model, policy, None, since, until)
    with operator(url, key, data_dir) as client:
        size = download(client, f"{_BASE}/export", {**params, "format": format}, file)
    if file:
        typer.echo(f"{size} bytes in {file}")


def _params(
    tenant: str | None,
    of_key: str | None,
    mode: str | None,
    rule: str | None,
    tier: str | None,
    status: str | None,
    model: str | None,
    policy: str | None,
    slower_than_ms: float | None,
    since: str | None,
    until: str | None,
) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "key": of_key,
        "mode": mode,
        "rule": rule,
        "tier": tier,
        "status": status,
        "model": model,
        "policy": policy,
        "min_first_token_ms": slower_than_ms,
        "since": moment(since),
        "until": moment(until),
    }
