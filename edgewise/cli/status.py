"""`edgewise status`: nodes, models, the policy in force and the latest streams, once or again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, connected, find_target
from edgewise.cli.latency import draw_latency, latency
from edgewise.cli.tables import make_table, print_json

if TYPE_CHECKING:
    import httpx
    from rich.console import Group

STREAMS = 8
WATCH_S = 1.0
_FACTS = (
    ("device.battery_pct", "battery {:.0f} %"),
    ("device.cpu_temp_c", "{:.0f} °C"),
    ("device.rtt_ms", "RTT {:.0f} ms"),
)


def status(
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every second, until Ctrl-C.")] = False,
    with_latency: Annotated[bool, typer.Option("--latency", help="Where answers spent their time, instead.")] = False,
) -> None:
    """What is connected, what decides, and what was answered lately."""
    with connected(find_target("operator", data_dir=data_dir, url=url, key=key)) as client:
        if with_latency:
            _show_latency(client, as_json=as_json)
        elif as_json:
            print_json(overview(client))
        elif watch:
            _watch(client)
        else:
            from rich.console import Console

            Console(highlight=False).print(draw(overview(client)))


def overview(client: httpx.Client) -> dict[str, Any]:
    """Everything that is shown, as one object. Raises RemoteError."""
    policy = call(client, "GET", "/admin/v1/policies/active")
    return {
        "url": str(client.base_url),
        "nodes": call(client, "GET", "/admin/v1/nodes")["items"],
        "models": call(client, "GET", "/admin/v1/models")["items"],
        "policy": {name: policy[name] for name in ("version", "name", "digest", "note", "created_at")},
        "streams": call(client, "GET", "/admin/v1/decisions", params={"limit": STREAMS})["items"],
    }


def _show_latency(client: httpx.Client, *, as_json: bool) -> None:
    from rich.console import Console

    found = latency(client)
    if as_json:
        print_json(found)
    else:
        Console(highlight=False).print(draw_latency(found))


def _watch(client: httpx.Client) -> None:
    from rich.live import Live

    with Live(draw(overview(client)), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_S)
            live.update(draw(overview(client)), refresh=True)


def draw(found: dict[str, Any]) -> Group:
    """The overview as tables."""
    from rich.console import Group

    policy = found["policy"]
    return Group(
        f"{found['url']}   policy {policy['name']}, version {policy['version']} ({policy['digest'][:12]})",
        make_table(("node", "kind", "models", "running", "queued", "device"), map(_node, found["nodes"]), "Nodes"),
        make_table(("model", "tier", "format", "context", "version"), map(_model, found["models"]), "Models"),
        make_table(
            ("stream", "state", "tier", "mode", "rule", "first token", "tokens"),
            map(_stream, found["streams"]),
            "Latest streams",
        ),
    )


def _node(node: dict[str, Any]) -> tuple[str, ...]:
    load, models = node["load"], ", ".join(model["name"] for model in node["models"])
    facts = [form.format(node["facts"][name]) for name, form in _FACTS if node["facts"].get(name) is not None]
    return (
        node["node_id"],
        node["kind"],
        models,
        f"{load['running']}/{load['slots']}",
        str(load["queued"]),
        ", ".join(facts),
    )


def _model(model: dict[str, Any]) -> tuple[str, ...]:
    return model["name"], model["tier"], model["format"], f"{model['context_tokens']} tokens", model["id"][:12]


def _stream(stream: dict[str, Any]) -> tuple[str, ...]:
    first = stream["first_token_s"]
    tier = stream["last_tier"] or stream["tier"]
    tokens = stream["completion_tokens"]
    return (
        stream["stream_id"],
        stream["error_code"] or stream["status"],
        tier,
        stream["mode"],
        stream["rule"],
        "" if first is None else f"{first * 1000:.0f} ms",
        "" if tokens is None else str(tokens),
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)
