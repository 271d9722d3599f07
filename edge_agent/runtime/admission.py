"""Whether the memory for an answer is there before any work is done for it: counted for the worst case, and promised.

    available = reserve | promised to running answers, still to come | room
    idle        rows and contexts that no answer is using: given up when the room is needed

Pure: readings are given, and giving up is slots.py's business. Where readings come from stands at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psutil  # type: ignore[import-untyped]

from edge_agent.telemetry.pressure import MemoryPressure
from edgewise.generation.state import GenerationState
from edgewise.wire.errors import TierRefusedError

MIB: Final = 1 << 20
RESERVE_SHARE: Final = 20
"""One part in so many of all memory is left to others, within these bounds."""
RESERVE_LEAST, RESERVE_MOST = 64 * MIB, 512 * MIB
RETRY_AFTER_S: Final = 10.0


class Verdict(StrEnum):
    """`wait`: there is room once running answers have ended. `refuse`: there is none even then."""

    ADMIT = "admit"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Promise:
    """What the rows of a running answer may come to hold at most, and what they hold now, in bytes."""

    most_bytes: int
    held_bytes: int

    @property
    def growth_bytes(self) -> int:
        return max(self.most_bytes - self.held_bytes, 0)


@dataclass(frozen=True, slots=True)
class Memory:
    """One moment. `free_bytes` is what is available less the reserve, negative where others have taken of that;
    `idle_bytes` can be given up at once.
    """

    free_bytes: int
    idle_bytes: int
    promises: tuple[Promise, ...] = ()

    @property
    def promised_bytes(self) -> int:
        """What running answers may still take."""
        return sum(promise.growth_bytes for promise in self.promises)

    @property
    def room_bytes(self) -> int:
        """What a further answer may come to hold now; negative where others have taken what was promised here."""
        return self.free_bytes + self.idle_bytes - self.promised_bytes

    @property
    def room_later_bytes(self) -> int:
        """The same when all running answers have ended: whatever rows they came to hold is idle then."""
        return self.free_bytes + self.idle_bytes + sum(promise.held_bytes for promise in self.promises)

    @property
    def to_give_up_bytes(self) -> int:
        """Idle bytes without which the promises, or the reserve, could not be kept."""
        return max(self.promised_bytes - self.free_bytes, 0)

    def verdict(self, need_bytes: int) -> Verdict:
        """On an answer that may come to hold `need_bytes`, those of rows that it reuses included: they are idle now."""
        if need_bytes <= self.room_bytes:
            return Verdict.ADMIT
        return Verdict.WAIT if need_bytes <= self.room_later_bytes else Verdict.REFUSE


class Admission:
    """The rules of one engine: bytes for each token, the most tokens that have a row, and where readings come from.

    `available` gives bytes; `reserve_bytes` of them are left to others, None leaves a share of all memory.
    """

    def __init__(
        self,
        *,
        token_bytes: int,
        most_tokens: int,
        reserve_bytes: int | None = None,
        available: Callable[[], int] | None = None,
    ) -> None:
        self._token_bytes = token_bytes
        self._most_tokens = most_tokens
        self._reserve_bytes = default_reserve(total_bytes()) if reserve_bytes is None else reserve_bytes
        self._available = available or available_bytes

    def need_bytes(self, state: GenerationState) -> int:
        """What the rows of an answer come to hold when it is as long as it may be."""
        return min(len(state.prompt_ids) + state.max_tokens, self._most_tokens) * self._token_bytes

    def memory(self, idle_bytes: int, promises: Iterable[Promise]) -> Memory:
        """This moment."""
        return Memory(self._available() - self._reserve_bytes, idle_bytes, tuple(promises))

    def refusal(self, need_bytes: int, memory: Memory) -> TierRefusedError:
        """What is said of an answer for which there is no room, with the numbers."""
        return TierRefusedError(
            f"This answer may need {_mib(need_bytes)} of memory for its context; this device has "
            f"{_mib(max(memory.room_later_bytes, 0))} for it",
            where="edge engine",
            expected=f"enough free memory, {_mib(self._reserve_bytes)} of which are left to others",
            remedy="ask for fewer max_tokens, close other programs, or let the cloud answer",
            retry_after_s=RETRY_AFTER_S,
        )


def default_reserve(total: int) -> int:
    """Bytes that are left to others where nobody said how many, of so many in all."""
    return min(max(total // RESERVE_SHARE, RESERVE_LEAST), RESERVE_MOST)


def available_bytes() -> int:
    """What this process may still take: of the machine, and of its control group where that has a limit."""
    room, available = MemoryPressure().room(), int(psutil.virtual_memory().available)
    return available if room is None else min(available, room.left_bytes)


def total_bytes() -> int:
    """All memory that this process could have, counted as in `available_bytes`."""
    room, total = MemoryPressure().room(), int(psutil.virtual_memory().total)
    return total if room is None else min(total, room.limit_bytes)


def _mib(count: int) -> str:
    return f"{count / MIB:.1f} MiB"
