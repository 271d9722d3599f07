"""The policy that this device decides by: the last one offered, kept on disk for offline use, with two nets below it.

`current.json` → `previous.json` → the seed that ships with the package; a file that is damaged, or no longer compiles,
is passed over with a warning. Signatures and expiry are not checked here yet.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import msgspec

from edgewise.wire.errors import PolicyInvalidError
from policies import Policy, PolicyError

logger = logging.getLogger(__name__)

CURRENT, PREVIOUS = "current.json", "previous.json"


class KeptPolicy(msgspec.Struct, frozen=True):
    """A policy document as it lies on disk, with the digest that its offer named."""

    digest: str
    text: str


class PolicyStore:
    """Holds the compiled policy. `directory` is made when needed; `seed` is the text of the last resort.

    Raises PolicyInvalidError from the constructor only when the seed itself is broken.
    """

    def __init__(self, directory: Path, seed: str) -> None:
        self._directory = directory
        self._policy = self._kept(CURRENT) or self._kept(PREVIOUS) or _load(seed, "the seed policy")

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy

    @property
    def digest(self) -> str:
        """The digest of the policy in force, as PolicyOffer and PolicyStatus name it."""
        return self._policy.digest

    async def take(self, digest: str, text: str) -> None:
        """Check an offered policy and decide by it from here on. Raises PolicyInvalidError; the old one then stays.

        A disk that does not take the file costs only the memory of it: the policy is in force until a restart.
        """
        policy = await asyncio.to_thread(_load_offer, digest, text)
        if policy.digest == self._policy.digest:
            return
        self._policy = policy
        try:
            await asyncio.to_thread(self._keep, KeptPolicy(digest, text))
        except OSError as error:
            logger.warning("the policy is in force but could not be kept for a restart: %s", error)
        logger.info("policy %s (%s) is in force", policy.name, digest[:12])

    def _kept(self, name: str) -> Policy | None:
        path = self._directory / name
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=KeptPolicy)
            return _load_offer(kept.digest, kept.text)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, msgspec.MsgspecError, PolicyInvalidError) as error:
            logger.warning("the kept policy is passed over: %s", error, extra={"path": str(path)})
            return None

    def _keep(self, kept: KeptPolicy) -> None:
        """Write beside, sync, then shift: at every moment one whole policy lies on disk."""
        self._directory.mkdir(parents=True, exist_ok=True)
        current, fresh = self._directory / CURRENT, self._directory / f"{CURRENT}.new"
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        if current.exists():
            current.replace(self._directory / PREVIOUS)
        fresh.replace(current)
        _sync_directory(self._directory)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _load_offer(digest: str, text: str) -> Policy:
    policy = _load(text, f"policy {digest[:12]}")
    if policy.digest != digest:
        raise PolicyInvalidError(
            "The policy document is not the one that its digest names",
            where=f"policy {digest[:12]}",
            expected=f"digest {digest[:12]}…, found {policy.digest[:12]}…",
            remedy="offer the policy again",
        )
    return policy


def _load(text: str, where: str) -> Policy:
    try:
        return Policy.load_for_activation(text)
    except PolicyError as error:
        raise PolicyInvalidError(
            f"The policy cannot be used: {error}", where=where, remedy="correct the document and activate it again"
        ) from error
