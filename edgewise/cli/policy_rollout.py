"""`edgewise policy rollout stage | list | show | watch | approve | hold | resume | roll-back` (role operator)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, operator
from edgewise.cli.paging import fetch
from edgewise.cli.policy_files import PolicyFile, read_policy
from edgewise.cli.policy_rollout_view import headline, row, watching
from edgewise.cli.tables import print_json, print_table
from edgewise.wire.errors import NotFoundError

if TYPE_CHECKING:
    import httpx

BASE = "/admin/v1/policy-rollouts"
LOOK_S = 0.5
ROLLED_BACK_EXIT_CODE = 3
"""What `watch` ends with when the old policy is back; 0 says that the candidate is in force."""

app = typer.Typer(name="rollout", help="Bring a version of a policy into force by stages.", no_args_is_help=True)

RolloutId = Annotated[int | None, typer.Argument(metavar="[ID]", help="A rollout; the newest when left out.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for those who come after.")]


@app.command("stage")
def stage(
    file: PolicyFile, url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False
) -> None:
    """Ask for a rollout: a PolicyRollout document that names a saved version, such as my-policy@42."""
    text = read_policy(file)
    with operator(url, key, data_dir) as client:
        made = call(client, "POST", BASE, json={"text": text})
    if as_json:
        print_json(made)
        return
    typer.echo(headline(made))
    wanted = "approve" if made["position"] == "waiting" else "watch"
    typer.echo(f"next: edgewise policy rollout {wanted} {made['id']}")


@app.command("list")
def list_rollouts(url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False) -> None:
    """All rollouts, newest first."""
    with operator(url, key, data_dir) as client:
        items = fetch(client, BASE)
    if as_json:
        print_json(items)
        return
    print_table(("id", "name", "candidate", "before", "position", "since", "why"), map(row, items))


@app.command("show")
def show(
    rollout: RolloutId = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """How a rollout stands: its stages, its gates with their evidence, what it waits for, who did what."""
    from rich.console import Console

    from edgewise.cli.policy_rollout_view import whole

    with operator(url, key, data_dir) as client:
        view = _get(client, _number(client, rollout))
    if as_json:
        print_json(view)
        return
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(whole(view))


@app.command("watch")
def watch(
    rollout: RolloutId = None,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Follow a rollout to its end; ends with 0 when the candidate is in force, and with 3 when it was rolled back."""
    with operator(url, key, data_dir) as client:
        view = follow(client, _number(client, rollout), quiet=as_json)
    if as_json:
        print_json(view)
    if view["damage"]:
        raise typer.Exit(1)
    if view["position"] == "rolled-back":
        raise typer.Exit(ROLLED_BACK_EXIT_CODE)


@app.command("approve")
def approve(
    rollout: RolloutId = None, url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False
) -> None:
    """Agree to a rollout that waits for it."""
    _act("approve", rollout, {}, url, key, data_dir, as_json)


@app.command("hold")
def hold(
    rollout: RolloutId = None,
    why: Why = "",
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Leave the stage as it is until it is resumed."""
    _act("hold", rollout, {"json": {"why": why}}, url, key, data_dir, as_json)


@app.command("resume")
def resume(
    rollout: RolloutId = None, url: Url = None, key: Key = None, data_dir: DataDir = DATA_DIR, as_json: AsJson = False
) -> None:
    """Let a rollout that is held go on."""
    _act("resume", rollout, {}, url, key, data_dir, as_json)


@app.command("roll-back")
def roll_back(
    rollout: RolloutId = None,
    why: Why = "",
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """End a rollout: the old policy decides for everybody, at once."""
    _act("roll-back", rollout, {"json": {"why": why}}, url, key, data_dir, as_json)


def follow(
    client: httpx.Client, number: int, *, quiet: bool = False, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """Ask until a rollout has ended, or turns out to be damaged; its last view. quiet: nothing is shown meanwhile."""
    with watching(sys.stdout, quiet=quiet) as shown:
        while True:
            view = _get(client, number)
            shown(view)
            if not view["open"] or view["damage"]:
                return view
            sleep(LOOK_S)


def _act(
    word: str, rollout: int | None, request: dict[str, Any], url: Url, key: Key, data_dir: DataDir, as_json: bool
) -> None:
    with operator(url, key, data_dir) as client:
        view = call(client, "POST", f"{BASE}/{_number(client, rollout)}/{word}", **request)
    if as_json:
        print_json(view)
    else:
        typer.echo(headline(view))


def _get(client: httpx.Client, number: int) -> dict[str, Any]:
    view: dict[str, Any] = call(client, "GET", f"{BASE}/{number}")
    return view


def _number(client: httpx.Client, wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    items = call(client, "GET", BASE, params={"limit": 1})["items"]
    if not items:
        raise NotFoundError(
            "There is no policy rollout yet", remedy="ask for one: `edgewise policy rollout stage FILE`"
        )
    return int(items[0]["id"])
