"""Whose signatures this device trusts on policy bundles: pinned keys, or else the key of the first contact, kept.

Trust on first use: whoever answers first is believed, and nobody else after that. Pinned keys need no such luck.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge_agent.private_files import sync_directory
from edgewise.signing import Ed25519Verifier, PublicKey

logger = logging.getLogger(__name__)

KEPT_KEY = "trusted.key"
PINNED = "EDGEWISE_AGENT_POLICY_KEYS"


class TrustedKeys:
    """The keys of one device. `pinned` stand over whatever was kept in `directory`."""

    def __init__(self, directory: Path, pinned: Sequence[PublicKey] = ()) -> None:
        self._path = directory / KEPT_KEY
        self._pinned = bool(pinned)
        self._keys: tuple[PublicKey, ...] | None = tuple(pinned) or self._kept()

    def verifier(self, key: str) -> Ed25519Verifier:
        """Verifies with the trusted keys; on the first contact with `key`, the public key that the gateway named."""
        if self._keys is not None:
            return Ed25519Verifier(self._keys)
        try:
            return Ed25519Verifier([PublicKey.read(key)])
        except ValueError:
            return Ed25519Verifier([])

    def keep(self, key: str) -> None:
        """On the first contact, trust `key` from now on: it has signed a bundle that passed. Raises OSError when that
        cannot be kept over a restart."""
        if self._keys is None:
            self._keys = (PublicKey.read(key),)
            logger.info("policy bundles are trusted from now on when %s has signed them", self._keys[0].id)
            write_whole(self._path, key.encode())

    @property
    def expected(self) -> str:
        """For errors: the keys that count."""
        if self._keys is None:
            return "the gateway's own public key in its welcome"
        return " or ".join(key.id for key in self._keys) or f"a public key in {self._path}"

    @property
    def remedy(self) -> str:
        """For errors: what to do where operators replaced the key on purpose."""
        pin = f"put the new public key (`edgewise policy key`) into {PINNED} of this device"
        if self._pinned:
            return f"if the control plane's key was replaced on purpose, {pin}"
        return f"if the control plane's key was replaced on purpose, {pin}, or stop the agent and delete {self._path}"

    def _kept(self) -> tuple[PublicKey, ...] | None:
        """The kept key; None before the first contact. A damaged file is no first contact: then nothing is trusted."""
        try:
            return (PublicKey.read(self._path.read_text(encoding="ascii")),)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            logger.warning("the kept key of policy bundles cannot be used: %s", error, extra={"path": str(self._path)})
            return ()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside, sync it and put it in place, its directory made when needed. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(fresh).unlink()
        raise
    sync_directory(path.parent)
