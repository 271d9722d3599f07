"""PopularPrompts: which system prompts are asked with most often, per owner and model. In memory only: they are text.

Counted by the Space-Saving algorithm (Metwally, Agrawal and El Abbadi, 2005): a bounded table whose least counted entry
gives its place, and its count, to a newcomer. Whatever is asked often enough is in the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewise.dialects.chat import ChatMessage

TABLE_MAX = 256
PROMPT_MIN_CHARS = 100
"""Shorter prompts fit into less than a chunk of any engine, and warming them saves nothing."""
PROMPT_MAX_CHARS = 100_000
USES_MIN = 2


@dataclass(frozen=True)
class SystemPrompt:
    """What several requests of one owner began with: contexts are for those of the same `salt` only.

    Its text never leaves memory, so its repr tells its length only.
    """

    tenant: str
    model: str
    text: str
    salt: bytes = b""

    def __repr__(self) -> str:
        return f"SystemPrompt(tenant={self.tenant!r}, model={self.model!r}, chars={len(self.text)})"


class PopularPrompts:
    """Counts what is noted; about a microsecond a request, and nothing for one without a system prompt."""

    def __init__(self, table_max: int = TABLE_MAX) -> None:
        self._table_max = table_max
        self._uses: dict[SystemPrompt, int] = {}

    def note(self, tenant: str, model: str, messages: Sequence[ChatMessage], *, salt: bytes = b"") -> None:
        """Count the system prompt with which a request begins, if it is worth warming."""
        text = messages[0].content if messages and messages[0].role in ("system", "developer") else None
        if not isinstance(text, str) or not PROMPT_MIN_CHARS <= len(text) <= PROMPT_MAX_CHARS:
            return
        prompt = SystemPrompt(tenant, model, text, salt)
        self._uses[prompt] = (self._uses[prompt] if prompt in self._uses else self._freed_count()) + 1

    def top(self, count: int, *, tenant: str | None = None) -> list[SystemPrompt]:
        """The most used, of one tenant or of all; those that were seen once are not among them."""
        known = [
            (uses, prompt)
            for prompt, uses in self._uses.items()
            if uses >= USES_MIN and tenant in (None, prompt.tenant)
        ]
        return [prompt for _, prompt in sorted(known, key=lambda each: -each[0])[:count]]

    def _freed_count(self) -> int:
        """Make room for a newcomer; the count that it takes over."""
        if len(self._uses) < self._table_max:
            return 0
        return self._uses.pop(min(self._uses, key=self._uses.__getitem__))
