"""How a policy rollout looks in a terminal: one line, a page, and a page that is drawn again while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from edgewise.cli.tables import make_table, when

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

View = dict[str, Any]
BAR_WIDTH = 24
_STYLES = {"done": "green", "rolled-back": "red", "on-hold": "yellow"}


def headline(view: View) -> str:
    """Where it stands, in one line."""
    place = f" {view['stage']}/{len(view['stages'])}" if view["stage"] and view.get("stages") else ""
    said = view.get("damage") or view["reason"]
    version = f"version {view['candidate_version']} after {view['base_version']}"
    return f"policy rollout {view['id']} ({view['name']}, {version}) is {view['position']}{place}: {said}"


def row(item: View) -> tuple[str, ...]:
    """One line of the list."""
    position = item["position"] + (f", stage {item['stage']}" if item["stage"] else "")
    versions = str(item["candidate_version"]), str(item["base_version"])
    return str(item["id"]), item["name"], *versions, position, when(item["changed_at"]), item["reason"]


def whole(view: View) -> RenderableType:
    """All that is known of it."""
    from rich.console import Group

    timeline = [
        (when(each["at"]), each["actor"], each["action"].partition(".")[2], each["after"] or "")
        for each in view["timeline"]
    ]
    parts = [page(view), make_table(("when", "who", "what", "then"), timeline, "timeline")]
    if view["tally"] and view["tally"]["decided"]:
        parts.insert(1, _tally(view["tally"]))
    return Group(*parts)


def page(view: View) -> RenderableType:
    """Its line, its stages and its gates with bars, and what it waits for."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(headline(view), style=_STYLES.get(view["position"], "bold")), _stages(view)]
    if view["gates"]:
        parts.append(_gates(view))
    if view["waits_for"]:
        parts.append(Text(f"waits for: {view['waits_for']}"))
    approvals = view["approvals"]
    if approvals and approvals["needed"]:
        parts.append(Text(f"approved by {len(approvals['by'])} of {approvals['needed']}: {', '.join(approvals['by'])}"))
    return Group(*parts)


def _stages(view: View) -> RenderableType:
    table = _table("stage", "", "keys", "time")
    for number, stage in enumerate(view["stages"], 1):
        length_s, elapsed_s = stage["for_s"], stage["elapsed_s"]
        share = 1.0 if stage["state"] == "over" else min(1.0, elapsed_s / length_s) if length_s else 0.0
        told = f"{_span(elapsed_s)} of {_span(length_s)}" if stage["state"] == "now" and length_s else stage["state"]
        table.add_row(f"{number} {stage['mode']}", _bar(share), f"{stage['percent']:g} %", told)
    return table


def _gates(view: View) -> RenderableType:
    table = _table("gate", "evidence", "allowed", "found", "measures")
    for gate in view["gates"]:
        measures = f"{gate['seen']} of {gate['needed']}" if gate["due"] else str(gate["seen"])
        style = "red" if gate["breached"] else "yellow"
        table.add_row(gate["name"], _bar(gate["evidence"], style), gate["limit"], gate["found"], measures)
    return table


def _tally(tally: View) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    compared = f"shadow: {tally['decided']} compared, {tally['changed']} changed"
    moved = [(each["old"], each["candidate"], str(each["count"])) for each in tally["modes"]]
    line = Text(f"{compared}, {tally['newly_leaving']} would newly leave their device")
    return Group(line, make_table(("before", "candidate", "decisions"), moved))


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(*columns, box=box.SIMPLE_HEAD, header_style="bold")


def _bar(share: float, style: str = "green") -> RenderableType:
    from rich.progress_bar import ProgressBar

    return ProgressBar(total=1.0, completed=share, width=BAR_WIDTH, complete_style=style, finished_style=style)


def _span(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


@contextmanager
def watching(stream: IO[str], *, quiet: bool = False) -> Iterator[Callable[[View], None]]:
    """Gives a function that shows each new view: in place on a terminal, else a line for each move."""
    if quiet:
        yield lambda view: None
    elif stream.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(file=stream, highlight=False), auto_refresh=False) as live:
            yield lambda view: live.update(page(view), refresh=True)
    else:
        yield _Lines(stream)


class _Lines:
    """One line for each move."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._last = ""

    def __call__(self, view: View) -> None:
        line = headline(view)
        if line != self._last:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        self._last = line
