"""Contexts that were read before: by what a prompt finds the longest of them, and which are forgotten first. Pure.

    ids      |---- 32 ----|---- 32 ----|- tail -|
    chain     h0 = H(ids)  h1 = H(h0, ids)  ids      a name stands for everything up to its end

Where rows are kept, and that they have the bits which reading the ids again would give, is slots.py's business.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from edgewise.graphs import KvRows

BLOCK_TOKENS: Final = 32
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Chain:
    """What a run of token ids is known by: a name for each whole block, and the ids after the last one.

    `salt` keeps owners apart: the same ids under another salt have other names. It is never chosen by a caller.
    """

    names: tuple[bytes, ...] = ()
    tail: tuple[int, ...] = ()
    salt: bytes = b""

    @classmethod
    def of(cls, ids: tuple[int, ...], salt: bytes = b"") -> Chain:
        """The chain of `ids`; a salt has at most 64 bytes (ValueError)."""
        whole = len(ids) // BLOCK_TOKENS * BLOCK_TOKENS
        names, name = [], b""
        for start in range(0, whole, BLOCK_TOKENS):
            block = array("q", ids[start : start + BLOCK_TOKENS]).tobytes()
            name = hashlib.blake2b(name + block, digest_size=_DIGEST_BYTES, key=salt).digest()
            names.append(name)
        return cls(tuple(names), ids[whole:], salt)

    @property
    def length(self) -> int:
        """Tokens."""
        return len(self.names) * BLOCK_TOKENS + len(self.tail)

    def covers(self, other: Chain) -> bool:
        """Whether nothing of `other` would be missed beside this one, but a tail of less than a block at most."""
        equal = _equal_names(self.names, other.names)
        if equal < len(other.names):
            return False
        return len(self.names) > equal or self._equal_tail(other.tail, other.salt) == len(other.tail)

    def _equal_tail(self, ids: tuple[int, ...], salt: bytes) -> int:
        return _equal_ids(self.tail, ids) if self.salt == salt else 0


@dataclass(frozen=True)
class Prompt:
    """The ids of a prompt, and what they are looked up by."""

    ids: tuple[int, ...]
    salt: bytes = b""

    @cached_property
    def chain(self) -> Chain:
        """The chain of all ids."""
        return Chain.of(self.ids, self.salt)

    def beginning(self, length: int) -> Chain:
        """The chain of the first `length` ids."""
        blocks = length // BLOCK_TOKENS
        return Chain(self.chain.names[:blocks], self.ids[blocks * BLOCK_TOKENS : length], self.salt)

    def shared(self, kept: Chain) -> int:
        """How many first tokens of `kept` stand in this prompt and may be used.

        Never all of the prompt, whose last call gives the logits. Inside a block they are known to be equal only in
        the tail of `kept`.
        """
        equal = _equal_names(self.chain.names, kept.names)
        tokens = equal * BLOCK_TOKENS
        if equal == len(kept.names) and self.salt == kept.salt:
            tokens += _equal_ids(kept.tail, self.ids[tokens : tokens + BLOCK_TOKENS])
        return min(tokens, max(len(self.ids) - 1, 0))


@dataclass(frozen=True, eq=False)
class Context:
    """A chain and the rows that its tokens left. A `private` one stays in memory."""

    chain: Chain
    rows: KvRows
    private: bool = False

    @property
    def size_bytes(self) -> int:
        return self.rows.nbytes


class Contexts:
    """Whole contexts within `max_bytes`, the least recently used forgotten first; 0 keeps nothing.

    What is used stays: a system prompt that many prompts begin with is found, and so kept, by being asked for. Not
    thread-safe, like the engine that owns it.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._contexts: list[Context] = []  # the most recently used last
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._contexts)

    def __iter__(self) -> Iterator[Context]:
        """The most recently used first."""
        return reversed(self._contexts)

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    def best(self, prompt: Prompt) -> tuple[int, Context | None]:
        """The context that shares the most first tokens with a prompt, and how many; to look is not to use."""
        found = max(self, key=lambda context: prompt.shared(context.chain), default=None)
        shared = prompt.shared(found.chain) if found else 0
        return (shared, found) if shared else (0, None)

    def use(self, context: Context) -> None:
        """Note that a context was used: it is forgotten last."""
        self._contexts.remove(context)
        self._contexts.append(context)

    def holds(self, chain: Chain) -> bool:
        """Whether a context covers `chain` already."""
        return any(context.chain.covers(chain) for context in self._contexts)

    def keep(self, context: Context) -> bool:
        """Keep a context in the place of those that it covers; False when it is too large for the budget."""
        if not 0 < context.size_bytes <= self._max_bytes:
            return False
        if known_already := next((known for known in self if known.chain.covers(context.chain)), None):
            self.use(known_already)
            return True
        for known in [known for known in self._contexts if context.chain.covers(known.chain)]:
            self._forget(known)
        self._contexts.append(context)
        self.size_bytes += context.size_bytes
        self.shrink(self._max_bytes)
        return True

    def shrink(self, max_bytes: int) -> None:
        """Change the budget, and forget what is over it."""
        self._max_bytes = max_bytes
        while self.size_bytes > max_bytes:
            self._forget(self._contexts[0])

    def check_integrity(self) -> None:
        """Sizes add up, rows are those of their chains, nothing is kept twice. Raises AssertionError."""
        assert self.size_bytes == sum(context.size_bytes for context in self._contexts), "the size is wrong"
        assert self.size_bytes <= self._max_bytes, "over the budget"
        for context in self._contexts:
            assert context.rows.shape[2] == context.chain.length, "a context has other rows than tokens"
            others = (other for other in self._contexts if other is not context)
            assert not any(other.chain.covers(context.chain) for other in others), "a context is kept twice"

    def _forget(self, context: Context) -> None:
        self._contexts.remove(context)
        self.size_bytes -= context.size_bytes


def _equal_names(left: tuple[bytes, ...], right: tuple[bytes, ...]) -> int:
    """Equal first names. Each stands for all before it, so half of the rest can be left out at every look."""
    return bisect_left(range(min(len(left), len(right))), True, key=lambda place: left[place] != right[place])


def _equal_ids(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    pairs = zip(left, right, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
