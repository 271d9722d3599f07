"""`edgewise nodes`: see the fleet, take a node out of use and back, label it, forget it (role operator)."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, operator
from edgewise.cli.tables import print_json, print_table
from edgewise.wire.errors import BadRequestError

app = typer.Typer(name="nodes", help="Devices and workers.", no_args_is_help=True)
Node = Annotated[str, typer.Argument(metavar="NODE", help="The node's id, as `nodes list` shows it.")]
_BASE = "/admin/v1/nodes"


@app.command("list")
def list_nodes(
    kind: Annotated[str | None, typer.Option(help="edge or cloud.")] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Connected nodes, and those that are drained or labelled while they are away."""
    with operator(url, key, data_dir) as client:
        found = call(client, "GET", _BASE, params={"kind": kind} if kind else None)
    if as_json:
        print_json(found)
        return
    rows = [*map(_row, found["items"]), *map(_away_row, found.get("away", []))]
    print_table(("node", "kind", "state", "models", "running", "policy", "tenant", "labels", "gateway"), rows)


def _row(node: dict[str, Any]) -> tuple[str, ...]:
    load, wanted = node["load"], node.get("wanted_models") or {}
    models = ", ".join(m["name"] + (" (other version wanted)" if m["name"] in wanted else "") for m in node["models"])
    state = "drained" if node.get("wish", {}).get("drained") else "in use"
    running = f"{load['running']}/{load['slots']}"
    who, labels = (node["node_id"], node["kind"], state, models, running), _labels(node["labels"])
    return *who, _policy(node.get("policy")), node["tenant"], labels, _here(node)


def _policy(held: dict[str, Any] | None) -> str:
    """Which policy a device decides by, or why it does not take the one that it should."""
    if held is None:
        return ""
    version = f"version {held['policy_version']}" if held.get("policy_version") else held["digest"][:12]
    return version if held["applied"] else f"{version} refused: {held.get('refusal') or held['error']}"


def _here(node: dict[str, Any]) -> str:
    return node.get("gateway") or "this one"


def _away_row(node: dict[str, Any]) -> tuple[str, ...]:
    wish = node["wish"]
    state = "away, drained" if wish["drained"] else "away"
    return node["node_id"], "", state, "", "", "", "", _labels(wish["labels"]), ""


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))


@app.command("show")
def show_node(node: Node, url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR) -> None:
    """Everything that is known of a connected node, as JSON."""
    with operator(url, key, data_dir) as client:
        print_json(call(client, "GET", _path(node)))


@app.command("drain")
def drain_node(node: Node, url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR) -> None:
    """No new work for a node; when its running answers have ended, it is told to leave. It stays drained."""
    with operator(url, key, data_dir) as client:
        call(client, "POST", f"{_path(node)}/drain")
    typer.echo(f"node {node} is drained; `edgewise nodes undrain {node}` uses it again")


@app.command("undrain")
def undrain_node(node: Node, url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR) -> None:
    """Use a node again."""
    with operator(url, key, data_dir) as client:
        call(client, "DELETE", f"{_path(node)}/drain")
    typer.echo(f"node {node} is used again")


@app.command("label")
def label_node(
    node: Node,
    labels: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]…", help="All of them; none takes the labels away.")
    ] = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Set the labels that override the node's own, such as shared=true. Those set before are replaced."""
    body = {"labels": parse_labels(labels or [])}
    with operator(url, key, data_dir) as client:
        wish = call(client, "PUT", f"{_path(node)}/labels", json=body)
    typer.echo(f"node {node}: {_labels(wish['labels']) or 'only its own labels'}")


@app.command("forget")
def forget_node(
    node: Node,
    force: Annotated[bool, typer.Option("--force", help="Disconnect it first.")] = False,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Forget a node's telemetry, drain and labels. Its decisions stay; its key stays too (`edgewise keys revoke`)."""
    with operator(url, key, data_dir) as client:
        gone = call(client, "DELETE", _path(node), params={"force": force})
    typer.echo(f"node {node} is forgotten, with {gone['telemetry_records']} telemetry records")


def parse_labels(pairs: list[str]) -> dict[str, str]:
    """`name=value` pairs. Raises BadRequestError."""
    labels: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            raise BadRequestError(f"{pair!r} is no label", where="labels", expected="name=value, as in shared=true")
        labels[name] = value
    return labels


def _path(node: str) -> str:
    return f"{_BASE}/{quote(node, safe='')}"
