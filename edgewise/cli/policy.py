"""`edgewise policy`: see, check, apply, roll back and explain routing policies; only `check` works without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, connected, find_target, operator
from edgewise.cli.paging import fetch
from edgewise.cli.tables import print_json, print_table, when
from edgewise.wire.errors import BadRequestError, PolicyInvalidError

app = typer.Typer(name="policy", help="Routing policies.", no_args_is_help=True)
PolicyFile = Annotated[Path, typer.Argument(metavar="FILE", help="A YAML policy document.")]
_BASE = "/admin/v1/policies"


@app.command("list")
def list_policies(url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False) -> None:
    """All saved versions, newest first."""
    with operator(url, key, data_dir) as client:
        items = fetch(client, _BASE)
    if as_json:
        print_json(items)
        return
    rows = (
        (
            str(i["version"]),
            "active" if i["active"] else "",
            i["name"],
            i["digest"][:12],
            when(i["created_at"]),
            i["note"],
        )
        for i in items
    )
    print_table(("version", "", "name", "digest", "saved", "note"), rows)


@app.command("show")
def show_policy(
    version: Annotated[int | None, typer.Argument(help="A version; the policy in force when left out.")] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Print a policy's YAML, to be edited and applied."""
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        text: str = call(client, "GET", f"{_BASE}/{version or 'active'}")["text"]
    typer.echo(text, nl=not text.endswith("\n"))


@app.command("check")
def check_policy(file: PolicyFile) -> None:
    """Check a document and run its own tests, here; nothing is sent."""
    from policies import Policy, PolicyError
    from policies.problems import render

    text = read_policy(file)
    try:
        policy = Policy.load(text)
    except PolicyError as error:
        typer.echo(str(PolicyError(error.problems, source=text, name=file.name)), err=True)
        raise typer.Exit(1) from None
    if policy.warnings:
        typer.echo(render(policy.warnings, source=text, name=file.name), err=True)
    outcomes = policy.run_tests()
    for outcome in (outcome for outcome in outcomes if not outcome.passed):
        typer.echo(f"{file.name}:{outcome.line}: test failed: {outcome.name}: {outcome.detail}", err=True)
    if not all(outcome.passed for outcome in outcomes):
        raise typer.Exit(1)
    typer.echo(f"{policy.name}: no faults, {len(outcomes)} tests passed, digest {policy.digest[:12]}")


def read_policy(file: Path) -> str:
    """A document's text. Raises PolicyInvalidError."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyInvalidError(
            f"The policy cannot be read: {error}", where=str(file), expected="a YAML document in UTF-8"
        ) from error


@app.command("apply")
def apply_policy(
    file: PolicyFile,
    note: Annotated[str, typer.Option(help="Why, for those who come after.")] = "",
    expect: Annotated[
        str | None, typer.Option(help="Only while the policy with this digest is the one in force.")
    ] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Save a document as the next version and put it in force, once its own tests pass."""
    body: dict[str, Any] = {"text": read_policy(file), "note": note, "activate": True}
    if expect:
        body["expected_digest"] = expect
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        saved = call(client, "POST", _BASE, json=body)
    typer.echo(f"policy {saved['name']}, version {saved['version']} ({saved['digest'][:12]}) is in force")


@app.command("activate")
def activate(
    version: Annotated[int, typer.Argument(help="A version, as `policy list` shows it.")],
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Put a saved version in force, once its own tests pass."""
    with operator(url, key, data_dir) as client:
        now = call(client, "POST", f"{_BASE}/{version}/activate", json={})
    typer.echo(f"version {now['version']} ({now['digest'][:12]}) is in force")


@app.command("rollback")
def roll_back(url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR) -> None:
    """Return to the policy that was in force before."""
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        now = call(client, "POST", f"{_BASE}/rollback", json={})
    typer.echo(f"version {now['version']} ({now['digest'][:12]}) is in force again")


@app.command("explain")
def explain(
    stream: Annotated[str | None, typer.Argument(metavar="STREAM", help="Why this answer was made as it was.")] = None,
    fact: Annotated[
        list[str] | None, typer.Option("--fact", help="Or: what would be decided for name=value; may be given again.")
    ] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Why an answer went where it went, or what the policy in force would decide for some facts."""
    facts = parse_facts(fact or [])
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        recorded = call(client, "GET", f"/admin/v1/decisions/{quote(stream, safe='')}") if stream else None
        seen = recorded["facts"] if recorded else facts
        explained = call(client, "POST", f"{_BASE}/active/explain", json={"facts": seen})
    if as_json:
        print_json({"decision": recorded, "explained": explained} if recorded else explained)
        return
    if recorded:
        _print_decision(recorded)
        typer.echo("By the policy in force now:")
    print_explained(explained)


def parse_facts(pairs: list[str]) -> dict[str, bool | int | float | str]:
    """`name=value` pairs; true, false and numbers are read as such. Raises BadRequestError."""
    facts: dict[str, bool | int | float | str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            raise BadRequestError(f"{pair!r} is no fact", where="--fact", expected="name=value, as in device.rtt_ms=80")
        facts[name.strip()] = _value(value.strip())
    return facts


def _value(text: str) -> bool | int | float | str:
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _print_decision(found: dict[str, Any]) -> None:
    typer.echo(f"mode {found['mode']} by rule {found['rule']}: {found['reason']}")
    tier = found["last_tier"] or found["tier"] or "none"
    typer.echo(f"tier {tier}, {found['status']}, policy {found['policy_digest'][:12]}")
    print_table(("fact", "value"), ((name, str(value)) for name, value in sorted(found["facts"].items())))


def print_explained(found: dict[str, Any]) -> None:
    """What became of each rule, and what would have flipped the decision."""
    decision = found["decision"]
    typer.echo(f"mode {decision['mode']} by rule {decision['rule_id']}: {decision['reason']}")
    rows = ((rule["rule_id"], rule["outcome"].replace("_", " "), rule["when"]) for rule in found["rules"])
    print_table(("rule", "outcome", "when"), rows)
    for flip in found["flips"]:
        typer.echo(f"  otherwise: {flip}")
