"""How far a smaller model says what a larger one says: greedy draft acceptance, tokens a pass, agreement of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cloud_worker.forge.evaluate.decoder import Advance, Decoder, no_progress

DRAFTED: Final = 4


@dataclass(frozen=True, slots=True)
class Accepted:
    """Of the target's reply to one prompt, its end token with it where it said one: which positions are the draft's."""

    hits: tuple[bool, ...]

    def passes(self, drafted: int = DRAFTED) -> int:
        """Forward passes of the target when `drafted` tokens are proposed before each (Leviathan et al., 2023)."""
        place = count = 0
        while place < len(self.hits):
            run = 0
            while run < drafted and place + run < len(self.hits) and self.hits[place + run]:
                run += 1
            place += run + 1
            count += 1
        return count


def accepted(
    draft: Decoder,
    prompts: Sequence[Sequence[int]],
    replies: Sequence[Sequence[int]],
    own: Sequence[Sequence[int] | None],
    advance: Advance = no_progress,
    ended: Sequence[bool] | None = None,
) -> list[Accepted]:
    """The draft's view of the target's replies. `own[i]`: the draft's own greedy reply where it ended, else None;
    where it is the target's, every position is accepted without another look. A reply that does not fit into the
    draft's context has no positions; one that was cut at its limit (not `ended`) has no end token to accept."""
    same = [mine is not None and list(mine) == list(reply) for mine, reply in zip(own, replies, strict=True)]
    advance(sum(same))
    room = draft.context_tokens - 1
    places = [i for i, equal in enumerate(same) if not equal and len(prompts[i]) + len(replies[i]) <= room]
    forced = draft.force([prompts[i] for i in places], [replies[i] for i in places], advance)
    found = {index: Accepted((True,) * (len(replies[index]) + 1)) for index, equal in enumerate(same) if equal}
    for index, view in zip(places, forced, strict=True):
        target = [*replies[index], draft.end]
        found[index] = Accepted(tuple(a == b for a, b in zip(view.best, target, strict=True)))
    taken = [found.get(index, Accepted(())) for index in range(len(replies))]
    whole = [True] * len(replies) if ended is None else ended
    return [one if all_of_it else Accepted(one.hits[:-1]) for one, all_of_it in zip(taken, whole, strict=True)]


def rate(marks: Sequence[Accepted]) -> float:
    """Share of accepted positions, 0..1; 0 without any."""
    total = sum(len(mark.hits) for mark in marks)
    return sum(sum(mark.hits) for mark in marks) / total if total else 0.0


def tokens_per_pass(marks: Sequence[Accepted], drafted: int = DRAFTED) -> float:
    """Tokens of the replies for each pass of the target; 0 without any."""
    passes = sum(mark.passes(drafted) for mark in marks)
    return sum(len(mark.hits) for mark in marks) / passes if passes else 0.0
