"""Reading `keys.json`, the first keys, as the control plane wrote it; the key of a role is found here."""

from __future__ import annotations

from pathlib import Path

import msgspec

KEYS_FILE = "keys.json"


class KeysFile(msgspec.Struct, frozen=True):
    """`keys.json` as the control plane writes it at its first start."""

    operator: str = ""
    app: str = ""
    node: str = ""
    base_url: str = ""

    def __repr__(self) -> str:
        return f"KeysFile(base_url={self.base_url!r})"


def read_keys(path: Path) -> KeysFile:
    """The first keys; empty ones while the file is not there or not readable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeysFile)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return KeysFile()
