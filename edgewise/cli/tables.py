"""Tables, times and JSON in the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def make_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> Table:
    """A plain table; an empty one says so."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    if not table.row_count:
        table.add_row(Text("none", style="dim"))
    return table


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Print a table, as wide as the terminal, or as wide as it needs when its reader is no terminal."""
    from rich.console import Console

    table = make_table(columns, rows, title)
    width = None if sys.stdout.isatty() else 240
    Console(width=width, highlight=False).print(table)


def print_json(found: Any) -> None:
    """Print JSON for programs."""
    sys.stdout.write(json.dumps(found, ensure_ascii=False, indent=2) + "\n")


def when(moment: str | None) -> str:
    """A moment of the API in this machine's time zone; empty for none."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""
