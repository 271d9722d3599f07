"""`edgewise policy try | replay`: what a policy would decide and change, before it is in force (role operator)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, operator
from edgewise.cli.paging import Since, moment
from edgewise.cli.policy_explain import print_explained
from edgewise.cli.policy_facts import FactOptions, parse_facts, tell_facts
from edgewise.cli.policy_files import read_policy
from edgewise.cli.policy_versions import BASE
from edgewise.cli.tables import print_json, print_table

Draft = Annotated[
    str | None, typer.Argument(metavar="[FILE|VERSION]", help="A document, or a saved version; else the one in force.")
]


def try_policy(
    draft: Draft = None,
    message: Annotated[str, typer.Option("--message", "-m", help="What somebody might ask; it is not kept.")] = "",
    fact: FactOptions = None,
    device: Annotated[str, typer.Option(help="A device, with what is known of it now.")] = "",
    mode: Annotated[str, typer.Option(help="The mode that the request wishes for.")] = "",
    tenant: Annotated[str, typer.Option(help="The tenant that asks.")] = "default",
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """What a policy would decide for one request, why, and in what the policy in force differs."""
    messages = [{"role": "user", "content": message}] if message else []
    wishes = {"device": device, "wants_mode": mode, "tenant": tenant}
    body = {**_draft(draft), **wishes, "messages": messages, "facts": parse_facts(fact or [])}
    with operator(url, key, data_dir) as client:
        found = call(client, "POST", f"{BASE}/dry-run", json=body)
    if as_json:
        print_json(found)
        return
    print_explained(found)
    active = found["active"]
    same = f"the policy in force differs in {', '.join(found['differs'])}: mode {active['mode']} by {active['rule_id']}"
    typer.echo(same if found["differs"] else "the policy in force decides the same")


def replay(
    draft: Draft = None,
    last: Annotated[int, typer.Option(help="Over how many recorded decisions, the newest first.")] = 1000,
    tenant: Annotated[str | None, typer.Option(help="Of one tenant.")] = None,
    since: Since = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """What a policy would have changed over recorded decisions, with some of them by name."""
    body = {**_draft(draft), "last": last, "tenant": tenant, "since": moment(since)}
    with operator(url, key, data_dir) as client:
        found = call(client, "POST", f"{BASE}/replay", json=body)
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['decisions']} decisions: {found['unchanged']} in the same mode", nl=False)
    others = f"{found['other_rule']} by another rule, {found.get('other_terms', 0)} with other terms"
    typer.echo(f" ({others}), {found['errors']} by onError")
    _print_modes(found["changes"])
    if found.get("cost") is not None:
        typer.echo(f"cost in micro-units: {found['cost']:,}; it would be {_cost(found['expected_cost'])}")
    _print_rules(found.get("rule_changes", []))
    if found["unfaithful"]:
        typer.echo(f"{found['unfaithful']} decisions read facts that are not recorded; take the counts with care")


def _draft(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    return {"version": int(text)} if text.isdecimal() else {"text": read_policy(Path(text))}


def _print_modes(changes: list[dict[str, Any]]) -> None:
    """By mode, with the cost where something has a price."""
    priced = any(change.get("cost") is not None for change in changes)
    head = ("was", "would be", "decisions", *(("cost", "would cost") if priced else ()), "for example")
    print_table(head, (_mode_row(change, priced) for change in changes))


def _mode_row(change: dict[str, Any], priced: bool) -> tuple[str, ...]:
    costs = (_cost(change["cost"]), _cost(change["expected_cost"])) if priced else ()
    return change["recorded"], change["replayed"], str(change["count"]), *costs, ", ".join(change["examples"])


def _cost(micros: float | None) -> str:
    return "not known" if micros is None else f"{micros:,.0f}"


def _print_rules(changes: list[dict[str, Any]]) -> None:
    """By rule, each with the fewest facts that bring it about."""
    if changes:
        print_table(("was", "would be", "decisions", "because of", "for example"), map(_rule_row, changes))


def _rule_row(change: dict[str, Any]) -> tuple[str, ...]:
    before, after = (f"{change[side]['rule']} ({change[side]['mode']})" for side in ("recorded", "replayed"))
    because = "" if change["context"] is None else tell_facts(change["context"]) or "the usual facts"
    return before, after, str(change["count"]), because, change["stream_id"]
