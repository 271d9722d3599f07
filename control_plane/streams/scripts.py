"""The Lua scripts of the token log by name, with the digests under which a server caches them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Literal, get_args

Name = Literal[
    "create", "begin", "claim", "append", "renew", "release", "cancel", "head", "read", "request", "trim",
    "expired", "open", "unsealed", "sealed",
    "repeat_hold", "repeat_release", "repeat_offer", "repeat_candidates", "repeat_take",
]  # fmt: skip
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True)
class Script:
    """Lua source and its lower-case hexadecimal SHA-1, the name that EVALSHA uses."""

    source: bytes
    sha1: str


def load_scripts() -> dict[Name, Script]:
    """Every script that the log uses, read from the installed package."""
    folder = resources.files(__package__) / "lua"
    return {name: _script((folder / f"{name}.lua").read_bytes()) for name in NAMES}


def _script(source: bytes) -> Script:
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())
