"""`keys.json`, the first keys, as the control plane wrote it: reading it, and putting a rotated key in its place."""

from __future__ import annotations

import os
import tempfile
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


def replace_key(path: Path, prefix: str, key: str) -> bool:
    """Put `key` where the file holds one that begins with `prefix`; whether it did. Other fields stay as they are.

    The file is replaced whole, readable by its owner only. Raises OSError when it cannot be written.
    """
    try:
        fields = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
    held = [role for role, value in fields.items() if role != "base_url" and value.startswith(prefix)]
    if len(held) != 1:
        return False
    fields[held[0]] = key
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".keys-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)
    return True
