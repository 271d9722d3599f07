"""`edgewise policy explain`: why an answer went where it went, or what would be decided for some facts, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, operator
from edgewise.cli.decisions import tell_terms
from edgewise.cli.policy_facts import FactOptions, parse_facts, tell_facts
from edgewise.cli.policy_files import load_policy, read_policy
from edgewise.cli.policy_versions import BASE
from edgewise.cli.tables import print_json, print_table
from edgewise.wire.errors import BadRequestError


def explain(
    stream: Annotated[str | None, typer.Argument(metavar="STREAM", help="Why this answer was made as it was.")] = None,
    fact: FactOptions = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="By this document, in the usual world; asks no server."),
    ] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Why an answer went where it went, or what a policy would decide for some facts."""
    if file is not None:
        if stream:
            raise BadRequestError("A stream is known to a server only", where="--file", expected="--fact name=value")
        _print(_explained_here(file, fact or []), None, as_json)
        return
    facts = {name: value for name, value in parse_facts(fact or []).items() if value is not None}
    with operator(url, key, data_dir) as client:
        recorded = call(client, "GET", f"/admin/v1/decisions/{quote(stream, safe='')}") if stream else None
        seen = recorded["facts"] if recorded else facts
        explained = call(client, "POST", f"{BASE}/active/explain", json={"facts": seen})
    _print(explained, recorded, as_json)


def _explained_here(file: Path, pairs: list[str]) -> dict[str, Any]:
    from policies.facts import typical_facts

    policy = load_policy(read_policy(file), str(file))
    return policy.explain(typical_facts(parse_facts(pairs))).to_dict()


def _print(explained: dict[str, Any], recorded: dict[str, Any] | None, as_json: bool) -> None:
    if as_json:
        print_json({"decision": recorded, "explained": explained} if recorded else explained)
        return
    if recorded:
        _print_decision(recorded)
        typer.echo("By the policy in force now:")
    print_explained(explained)


def _print_decision(found: dict[str, Any]) -> None:
    typer.echo(f"mode {found['mode']} by rule {found['rule']}: {found['reason']}")
    tier = found["last_tier"] or found["tier"] or "none"
    typer.echo(f"tier {tier}, {found['status']}, policy {found['policy_digest'][:12]}")
    if asked := tell_terms(found.get("terms")):
        typer.echo(f"asked for {asked}")
    print_table(("fact", "value"), ((name, str(value)) for name, value in sorted(found["facts"].items())))


def print_explained(found: dict[str, Any]) -> None:
    """What became of each rule and its clauses, and what would have flipped the decision."""
    decision = found["decision"]
    typer.echo(f"mode {decision['mode']} by rule {decision['rule_id']}: {decision['reason']}")
    for error in decision.get("errors", ()):
        typer.echo(f"  {error}")
    print_table(("rule", "outcome", "when", "facts"), (row for rule in found["rules"] for row in _rows(rule)))
    for flip in found["flips"]:
        typer.echo(f"  otherwise: {flip}")


def _rows(rule: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The rule; below it, where it was tried and has several, its clauses."""
    outcome = rule["outcome"].replace("_", " ")
    clauses = rule.get("clauses", ())
    whole = (rule["rule_id"], outcome, rule["when"], tell_facts(rule.get("values", {})))
    if outcome == "not reached" or len(clauses) < 2:
        errors = [("", "error", each["error"], "") for each in clauses if each["error"]]
        return [whole, *errors]
    return [(*whole[:3], ""), *map(_clause_row, clauses)]


def _clause_row(clause: dict[str, Any]) -> tuple[str, str, str, str]:
    if clause["error"]:
        return "", "  error", f"  {clause['text']}: {clause['error']}", tell_facts(clause["facts"])
    if not clause["looked_at"]:
        return "", "  not looked at", f"  {clause['text']}", ""
    return "", f"  {str(clause['value']).lower()}", f"  {clause['text']}", tell_facts(clause["facts"])
