"""`edgewise policy diff OLD NEW`: what changes in the text, and for which facts another decision is made."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import DATA_DIR, AsJson, DataDir, Key, Url, call, operator
from edgewise.cli.policy_facts import facts_read, tell_unusual
from edgewise.cli.policy_files import load_policy, read_policy, show
from edgewise.cli.policy_versions import BASE
from edgewise.cli.tables import print_json

if TYPE_CHECKING:
    from policies import Decision
    from policies.analysis import Change

_ACTIVE = "active"
Side = Annotated[
    str, typer.Argument(metavar="FILE|VERSION|active", help="A document, a saved version, or the one in force.")
]


def diff(
    old: Side,
    new: Side,
    url: Url = None,
    key: Key = None,
    data_dir: DataDir = DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """What changes from OLD to NEW: in the text, and in decisions, each kind of change with facts that show it."""
    from policies.analysis import difference

    saved = _saved([side for side in (old, new) if _is_saved(side)], url, key, data_dir)
    texts = [saved[side] if side in saved else read_policy(Path(side)) for side in (old, new)]
    names = [_name(side) if side in saved else side for side in (old, new)]
    before, after = (load_policy(text, name) for text, name in zip(texts, names, strict=True))
    lines = _diff_of_texts(texts, names)
    changes = difference(before, after)
    if as_json:
        found = [change.to_dict() for change in changes]
        print_json({"text": lines, "same": _is_same(changes), "changes": found})
        return
    if lines:
        show(lines)
    typer.echo(tell_changes(changes, facts_read(before, after)))


def _diff_of_texts(texts: list[str], names: list[str]) -> str:
    old, new = (text.splitlines() for text in texts)
    return "\n".join(difflib.unified_diff(old, new, names[0], names[1], lineterm=""))


def _is_same(changes: tuple[Change, ...]) -> bool | None:
    """Whether no facts lead to another decision; None where that is not known."""
    known = not changes or any(change.facts is not None for change in changes)
    return not changes if known else None


def _name(side: str) -> str:
    return "the policy in force" if side == _ACTIVE else f"version {side}"


def _is_saved(side: str) -> bool:
    return (side.isdecimal() or side == _ACTIVE) and not Path(side).exists()


def _saved(sides: list[str], url: str | None, key: str | None, data_dir: Path) -> dict[str, str]:
    """The texts of saved versions; nobody is asked where there are none."""
    if not sides:
        return {}
    with operator(url, key, data_dir) as client:
        return {side: str(call(client, "GET", f"{BASE}/{side}")["text"]) for side in sides}


def tell_changes(changes: tuple[Change, ...], read: tuple[str, ...]) -> str:
    """The changes as lines for a terminal. read: the facts that either policy reads."""
    if not changes:
        return "no facts lead to another decision"
    return "\n".join(["what is decided otherwise:", *(line for change in changes for line in _told(change, read))])


def _told(change: Change, read: tuple[str, ...]) -> list[str]:
    if change.facts is None or change.old is None or change.new is None:
        return [f"  {change.old_rule} → {change.new_rule}: not known: {change.reason}"]
    return [
        f"  {_decided(change.old)} → {_decided(change.new)}",
        f"      for example: {tell_unusual(change.facts, read)}",
    ]


def _decided(decision: Decision) -> str:
    """What a runner does for it, and by which rule."""
    steps = ", then ".join([str(decision.mode), *map(str, decision.fallback)])
    times = {name: value for name, value in decision.timeouts.to_dict().items() if value is not None}
    terms: dict[str, Any] = {**times, **decision.terms.to_dict()}
    told = "".join(f", {name} {value}" for name, value in terms.items())
    return f"{steps}{told} ({decision.rule_id})"
