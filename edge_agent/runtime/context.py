"""Which cache rows of a long text stay: a function of its tokens alone, so that a resumed answer drops the same. Pure.

    tokens     up to full                 up to window_to             beyond
    rows       |------ all ------|        sinks|--- window ---|       sinks|keys|-- window --|
    dropping         at `full` tokens and after every `every` more: at these places a call begins, none crosses one

The rows themselves are moved by edgewise.graphs (CacheRow.keep); who may reuse them is slots.py's business.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgewise.graphs import CacheRow, RowChoice

SINKS: Final = 4
"""First tokens, which attention falls back on (Xiao et al., 2023, arXiv 2309.17453)."""
FULL: Final = 512
WINDOW_TO: Final = 2048
LEAST_CONTEXT: Final = 256
"""Models with a shorter context keep it whole: there is nothing to gain."""

ReadKeys = Callable[[int, int], npt.NDArray[Any]]
"""Keys [layers, kv_heads, stop - start, head_dim] of the rows start..stop of a cache."""
logger = logging.getLogger(__name__)


class ContextMode(StrEnum):
    """`full`: every token of the context has a row. `windowed`: rows are bounded by a ContextPolicy."""

    FULL = "full"
    WINDOWED = "windowed"


@dataclass(frozen=True, kw_only=True)
class ContextPolicy:
    """Sizes in tokens. Never more than `full` rows are held; at each place `every` of them go.

    Of the others `sinks` are the first tokens and, once the text has `window_to` tokens, `keys` are older ones that the
    model attends to most; the rest is the window of the newest. What was dropped before cannot come back as a key.
    `keys` must be 0 for an int8 cache: norms of its codes, scaled channel by channel, are not those of the keys.
    Raises ValueError for sizes that leave no window.
    """

    full: int = FULL
    window_to: int = WINDOW_TO
    sinks: int = SINKS
    keys: int = FULL // 4
    every: int = FULL // 8

    def __post_init__(self) -> None:
        least_window = self.kept - self.sinks - self.keys
        if min(self.sinks, self.keys) < 0 or self.every < 1 or least_window < 1 or self.window_to < self.full:
            raise ValueError(f"{self}: expected sinks, keys and every below full together, and window_to from full on")

    @classmethod
    def scaled(cls, context_tokens: int) -> ContextPolicy | None:
        """The policy for a model of this context, smaller where it is short; None where it is kept whole."""
        if context_tokens < LEAST_CONTEXT:
            return None
        full = min(FULL, context_tokens // 4)
        return cls(full=full, window_to=min(WINDOW_TO, context_tokens // 2), keys=full // 4, every=full // 8)

    @property
    def kept(self) -> int:
        """Rows that are left at a place."""
        return self.full - self.every

    @property
    def name(self) -> str:
        """The sizes as one word, for a numerics id: rows that were dropped change every later logit."""
        return f"windowed-{self.full}-{self.window_to}-{self.sinks}-{self.keys}-{self.every}"

    def place_after(self, tokens: int) -> int:
        """The first place beyond `tokens`: a call that begins there ends here at the latest."""
        return self.full if tokens < self.full else tokens + self.every - (tokens - self.full) % self.every

    def is_place(self, tokens: int) -> bool:
        """Whether rows are dropped before the token after `tokens` is read."""
        return tokens >= self.full and (tokens - self.full) % self.every == 0

    def stays(self, tokens: int, read_keys: ReadKeys) -> RowChoice:
        """Which of the `full` rows that are held at the place `tokens` stay: [kept], or [layers, kv_heads, kept].

        Keys of low norm are those that attention looks at (Devoto et al., 2024, arXiv 2406.11430): each head keeps its
        own. The norm needs no attention output, and turning a key by its position does not change it.
        """
        keys = self.keys if tokens >= self.window_to else 0
        newest = self.full - (self.kept - self.sinks - keys)
        common = np.concatenate([np.arange(self.sinks), np.arange(newest, self.full)])
        if not keys:
            return common
        chosen = self.sinks + lowest_norms(read_keys(self.sinks, newest), keys)
        everywhere = np.broadcast_to(common, (*chosen.shape[:2], common.size))
        return np.concatenate([everywhere[:, :, : self.sinks], chosen, everywhere[:, :, self.sinks :]], axis=2)


def chosen_policy(
    mode: ContextMode, given: ContextPolicy | None, context_tokens: int, *, codes: bool
) -> ContextPolicy | None:
    """What drops rows; None where every text that fits into the context keeps them all. `codes`: the cache holds int8
    codes, whose norms are not those of keys."""
    policy = None if mode is ContextMode.FULL else given or ContextPolicy.scaled(context_tokens)
    if policy is None or policy.full >= context_tokens:
        return None
    if policy.keys and codes:
        logger.warning("the cache holds codes, not keys: long texts keep no key tokens, but a wider window")
        return replace(policy, keys=0)
    return policy


def lowest_norms(keys: npt.NDArray[Any], count: int) -> RowChoice:
    """Rows [layers, kv_heads, count], ascending, of the `count` keys [layers, kv_heads, rows, head_dim] of least norm.

    Squares of float32 are exact in float64, so the order of the sum decides nothing; the older of equals stays.
    """
    squares: npt.NDArray[np.float64] = np.square(keys.astype(np.float64)).sum(axis=3)
    return np.sort(np.argsort(squares.astype(np.float32), axis=2, kind="stable")[:, :, :count], axis=2)


def make_room(row: CacheRow, policy: ContextPolicy) -> None:
    """Drop what goes at this place, once; elsewhere nothing happens."""
    if policy.is_place(row.length) and row.held == policy.full:
        row.keep(policy.stays(row.length, row.keys))
