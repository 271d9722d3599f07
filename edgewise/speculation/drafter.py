"""What guesses the next tokens of running answers, whatever it does that with. One implementation in each file beside.

A draft is accepted while it equals the token that is drawn (edgewise.generation.sampling.next_token), so a drafter can
make an answer come sooner or later and can never change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edgewise.generation.state import GenerationState


class Drafter(Protocol):
    """Guesses for many answers, each known by its request's id. Called from the engine's thread alone."""

    def begin(self, request: str, state: GenerationState) -> None:
        """An answer starts, or goes on here where `state` has output ids. A second begin replaces the first."""
        ...

    def draft(self, request: str, ids: Sequence[int], most: int) -> tuple[int, ...]:
        """At most `most` ids that may follow `ids` [prompt and output]; none for a request that never began.

        `ids` of a request only grow from call to call; whoever steps it may hand over one list that it appends to.
        """
        ...

    def accepted(self, request: str, drafted: int, held: int) -> None:
        """The first `held` of the `drafted` ids that were verified last were what was drawn."""
        ...

    def forget(self, request: str) -> None:
        """The answer ended here; frees what was kept of it. Unknown requests are ignored."""
        ...


class NoDrafter:
    """Never guesses."""

    def begin(self, request: str, state: GenerationState) -> None:
        pass

    def draft(self, request: str, ids: Sequence[int], most: int) -> tuple[int, ...]:
        return ()

    def accepted(self, request: str, drafted: int, held: int) -> None:
        pass

    def forget(self, request: str) -> None:
        pass
