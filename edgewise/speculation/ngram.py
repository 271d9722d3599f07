"""Drafts from each answer's own text (prompt lookup) behind the Drafter interface. No model, and next to no time."""

from __future__ import annotations

from collections.abc import Sequence

from edgewise.generation.state import GenerationState
from edgewise.speculation.prompt_lookup import WINDOW_TOKENS, PromptLookup


class NgramDrafter:
    """One lookup for each answer. Memory: about 200 bytes for each of the newest `window` tokens, three times."""

    def __init__(self, window: int = WINDOW_TOKENS) -> None:
        self._window = window
        self._lookups: dict[str, PromptLookup] = {}

    def __len__(self) -> int:
        return len(self._lookups)

    def begin(self, request: str, state: GenerationState) -> None:
        self._lookups[request] = PromptLookup(state.prompt_ids + state.output_ids, self._window)

    def draft(self, request: str, ids: Sequence[int], most: int) -> tuple[int, ...]:
        lookup = self._lookups.get(request)
        if lookup is None:
            return ()
        if len(lookup) > len(ids):
            lookup = self._lookups[request] = PromptLookup((), self._window)
        lookup.extend(ids[len(lookup) :])
        return lookup.draft(most).ids

    def accepted(self, request: str, drafted: int, held: int) -> None:
        """Nothing to learn: the ids that were drawn come with the next draft."""

    def forget(self, request: str) -> None:
        self._lookups.pop(request, None)
