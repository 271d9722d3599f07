"""What the stack tells the one who started it: one struct, one JSON line per event with `--json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

EventName = Literal[
    "child_starting", "child_ready", "child_crashed", "child_failed", "child_stopping", "ready", "stopped"
]


class StackEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event. `child` is set for those of a child; the addresses and `keys_file` for `ready`."""

    event: EventName
    child: str = ""
    pid: int = 0
    why: str = ""
    restart_in_s: float | None = None
    log: str = ""
    base_url: str = ""
    edge_url: str = ""
    keys_file: str = ""


Report = Callable[[StackEvent], None]
