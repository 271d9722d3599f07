"""`edgewise limits` and `edgewise usage`: what keys and tenants may use, and what they used (role operator)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, connected, find_target
from edgewise.cli.paging import moment
from edgewise.cli.tables import print_json, print_table
from edgewise.wire.errors import BadRequestError

if TYPE_CHECKING:
    import httpx

app = typer.Typer(name="limits", help="Limits and budgets of keys and tenants.", no_args_is_help=True)

FIELDS = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent",
    "tokens_per_day",
    "tokens_per_month",
    "tokens_total",
    "cost_per_day",
    "cost_per_month",
    "cost_total",
)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_COLUMNS = ("day", "key_id", "tenant", "tier_kind", "model", "requests", "refused")
_COUNTS = ("prompt_tokens", "completion_tokens", "waste_tokens", "cost_micros")

Whose = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as `keys list` shows it, or a tenant's name.")]
IsTenant = Annotated[bool, typer.Option("--tenant", help="KEY is a tenant: all of its keys share these limits.")]
Most = Annotated[int | None, typer.Option(min=-1, help="At most so many; -1 takes the limit away.")]


def _path(whose: str, tenant: bool) -> str:
    return f"/admin/v1/limits/{'tenants/' if tenant else ''}{quote(whose, safe='')}"


@app.command("show")
def show_limits(
    whose: Whose,
    tenant: IsTenant = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Limits, and how they stand now."""
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        _show(call(client, "GET", _path(whose, tenant)), as_json)


@app.command("set")
def set_limits(
    whose: Whose,
    tenant: IsTenant = False,
    requests_per_minute: Most = None,
    tokens_per_minute: Most = None,
    concurrent: Most = None,
    tokens_per_day: Most = None,
    tokens_per_month: Most = None,
    tokens_total: Most = None,
    cost_per_day: Most = None,
    cost_per_month: Most = None,
    cost_total: Most = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Change the limits that are named; the others stay. They hold for the next request. Costs are micro-units."""
    given = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "concurrent": concurrent,
        "tokens_per_day": tokens_per_day,
        "tokens_per_month": tokens_per_month,
        "tokens_total": tokens_total,
        "cost_per_day": cost_per_day,
        "cost_per_month": cost_per_month,
        "cost_total": cost_total,
    }
    if all(most is None for most in given.values()):
        raise BadRequestError(
            "No limit is named",
            expected="one or more limits, as in --requests-per-minute 60",
            remedy="`edgewise limits set -h` names them all; `edgewise limits show` tells what holds now",
        )
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        _show(_change(client, _path(whose, tenant), given), as_json)


def _change(client: httpx.Client, path: str, given: dict[str, int | None]) -> Any:
    """What is there, with what was given in its place."""
    wanted = call(client, "GET", path)["limits"]
    wanted |= {name: None if most == -1 else most for name, most in given.items() if most is not None}
    return call(client, "PUT", path, json=wanted)


@app.command("clear")
def clear_limits(
    whose: Whose,
    tenant: IsTenant = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Take every limit away."""
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        cleared = call(client, "DELETE", _path(whose, tenant))
    typer.echo(f"{cleared['scope']} has no limits")


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_table(
        ("limit", "at most", "used", "reserved", "left"),
        (_row(found, name) for name in _set(found)),
        found["scope"],
    )


def _set(found: dict[str, Any]) -> list[str]:
    return [name for name in FIELDS if found["limits"][name] is not None]


def _row(found: dict[str, Any], name: str) -> tuple[str, ...]:
    most = found["limits"][name]
    now = {
        "requests_per_minute": "requests_in_minute",
        "tokens_per_minute": "tokens_in_minute",
        "concurrent": "running",
    }
    if name in now:
        used = found[now[name]]
        return name, str(most), str(used), "", str(max(0, most - used))
    budget = found["budgets"][name]
    if budget is None:
        return name, str(most), "not asked yet", "", ""
    return name, str(most), str(budget["spent"]), str(budget["reserved"]), str(budget["remaining"])


def usage(
    of_key: Annotated[str | None, typer.Option("--of-key", help="Only this key, by its id.")] = None,
    of_tenant: Annotated[str | None, typer.Option("--of-tenant", help="Only this tenant.")] = None,
    since: Annotated[str | None, typer.Option(help="From this UTC day on: 2026-05-01, or 7d ago.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to this UTC day.")] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """What was used by key, tenant, UTC day, kind of tier and model, the newest day first."""
    wanted = {"key": of_key, "tenant": of_tenant, "since": _day(since), "until": _day(until)}
    params = {name: value for name, value in wanted.items() if value is not None}
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        items = _all_pages(client, params)
    if as_json:
        print_json(items)
        return
    columns = (*_COLUMNS, *_COUNTS)
    print_table([name.replace("_", " ") for name in columns], ([str(item[name]) for name in columns] for item in items))


def _day(text: str | None) -> str | None:
    """A UTC day: a date as it stands, or the one on which a span such as 7d began. Raises BadRequestError."""
    if text is None or _DAY.match(text):
        return text
    return datetime.fromisoformat(moment(text) or "").astimezone(UTC).date().isoformat()


def _all_pages(client: httpx.Client, params: dict[str, str]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = call(client, "GET", "/admin/v1/usage", params={**params, **after, "limit": "200"})
        items += page["items"]
        if page["next"] is None:
            return items
        after = {"after": page["next"]}


def register(main: typer.Typer) -> None:
    """Add the commands."""
    main.add_typer(app)
    main.command("usage")(usage)
