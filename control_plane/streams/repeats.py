"""Repeats in the token-log Valkey, so that several gateways share them: each call is one Lua script (lua/repeat_*).

The scripts travel on the log's own connection, in one pipeline with what else is asked at the same moment.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Any, Protocol

from control_plane.streams.batcher import Argument
from control_plane.streams.scripts import Name
from edgewise.api.repeats import CANDIDATE_TTL_S, CANDIDATES_MAX, KEY_TTL_S, KEYS_MAX, Candidate, Held

SHARDS = 8
LOST, READING = "l", "r"
_DIGEST_CHARS = 64


class Scripts(Protocol):
    """What runs a script: ScriptBatcher."""

    async def run(self, name: Name, keys: tuple[str, ...], args: tuple[Argument, ...]) -> Any: ...


class ValkeyRepeats:
    """Repeats over `scripts`. All keys of one owner are in one hash slot."""

    def __init__(
        self,
        scripts: Scripts,
        *,
        key_ttl_s: float = KEY_TTL_S,
        candidate_ttl_s: float = CANDIDATE_TTL_S,
        keys_max: int = KEYS_MAX,
        candidates_max: int = CANDIDATES_MAX,
    ) -> None:
        self._scripts = scripts
        self._key_ttl_ms = int(key_ttl_s * 1000)
        self._candidate_ttl_ms = int(candidate_ttl_s * 1000)
        self._keys_max = keys_max
        self._candidates_max = candidates_max

    async def hold(self, owner: str, key: str, mine: Held) -> Held:
        args = (_short(key), f"{mine.sid} {mine.digest}", self._key_ttl_ms, self._keys_max)
        _, held = await self._scripts.run("repeat_hold", _of_keys(owner), args)
        sid, _, digest = held.decode().partition(" ")
        return Held(sid, digest)

    async def release(self, owner: str, key: str, sid: str) -> None:
        await self._scripts.run("repeat_release", _of_keys(owner), (_short(key), f"{sid} "))

    async def offer(self, owner: str, digest: str, sid: str, *, lost: bool) -> None:
        told = (sid, LOST if lost else READING, f"{digest}:{sid}", f"{_prefix(owner)}try:{owner}:")
        limits = (self._candidate_ttl_ms, self._candidates_max, _DIGEST_CHARS)
        await self._scripts.run("repeat_offer", _of_candidates(owner, digest), (*told, *limits))

    async def candidates(self, owner: str, digest: str) -> list[Candidate]:
        keys = _of_candidates(owner, digest)[:1]
        _, found = await self._scripts.run("repeat_candidates", keys, (self._candidate_ttl_ms,))
        pairs = zip(found[::2], found[1::2], strict=True)
        return [Candidate(sid.decode(), state.decode() == LOST) for sid, state in pairs]

    async def take(self, owner: str, digest: str, sid: str) -> bool:
        args = (sid, f"{digest}:{sid}")
        _, taken = await self._scripts.run("repeat_take", _of_candidates(owner, digest), args)
        return bool(taken)


def _short(key: str) -> str:
    """A client may send long keys, so their digests are kept; two keys with one digest are beyond chance."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _prefix(owner: str) -> str:
    return f"ew:{{{zlib.crc32(owner.encode()) % SHARDS}}}:"


def _of_keys(owner: str) -> tuple[str, str]:
    prefix = _prefix(owner)
    return f"{prefix}held:{owner}", f"{prefix}held-at:{owner}"


def _of_candidates(owner: str, digest: str) -> tuple[str, str]:
    prefix = _prefix(owner)
    return f"{prefix}try:{owner}:{digest}", f"{prefix}tries:{owner}"
