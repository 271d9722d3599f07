"""Exact answers about drafts: what analysis finds, for which facts two policies differ. Bounded, off the event loop.

The reasoning itself is `policies.analysis`; a document that would take it long is told so instead.
"""

from __future__ import annotations

import asyncio
import difflib

from policies import Policy
from policies.analysis import Change, Report, analyse, difference

MAX_RULES = 150
MAX_CHARS = 64 * 1024
"""Of a document's conditions, together."""
TOO_LARGE = (
    f"the document has more than {MAX_RULES} rules or {MAX_CHARS} characters of conditions: use `edgewise policy`"
)


class Analyst:
    """Analyses one document at a time, however many ask: it is work for the processor that streams answers, too."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def report(self, policy: Policy) -> Report | None:
        """All that can be said of a policy without facts; None where that would take long."""
        if not _is_small(policy):
            return None
        async with self._turn:
            return await asyncio.to_thread(analyse, policy)

    async def changes(self, old: Policy, new: Policy) -> tuple[Change, ...] | None:
        """What is decided otherwise, with facts for each kind of change; None where that would take long."""
        if not (_is_small(old) and _is_small(new)):
            return None
        async with self._turn:
            return await asyncio.to_thread(difference, old, new)


async def text_changes(old: Policy, new: Policy) -> str:
    """A unified diff of the texts, empty when they are equal."""
    return await asyncio.to_thread(_text_changes, old.source, new.source)


def _text_changes(old: str, new: str) -> str:
    return "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), "old", "new", lineterm=""))


def _is_small(policy: Policy) -> bool:
    rules = policy.document.rules
    return len(rules) <= MAX_RULES and sum(len(rule.when.text) for rule in rules) <= MAX_CHARS
