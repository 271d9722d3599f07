"""A Decoder without a model: it says what a function makes of the prompt, equally sure of every token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cloud_worker.forge.curriculum import Exercise
from cloud_worker.forge.evaluate import Forced, Said, answer_ids, prompt_ids
from cloud_worker.forge.evaluate.decoder import Advance, no_progress
from cloud_worker.forge.tokenizer import END
from tests.factories.forge import small_tokenizer

SURE = -0.1


class Scripted:
    """`say(prompt)` gives the ids of the reply; `cuts`: it never says the end token."""

    end = END

    def __init__(
        self, say: Callable[[tuple[int, ...]], Sequence[int]], *, cuts: bool = False, context_tokens: int = 4096
    ) -> None:
        self.say, self.cuts, self.context_tokens = say, cuts, context_tokens
        self.limits: list[int] = []
        self.forced = 0

    def complete(
        self, prompts: Sequence[Sequence[int]], limits: Sequence[int], advance: Advance = no_progress
    ) -> list[Said]:
        self.limits += limits
        found = []
        for prompt, limit in zip(prompts, limits, strict=True):
            ids = tuple(self.say(tuple(prompt)))[:limit]
            ended = not self.cuts and len(ids) < limit
            found.append(Said(ids, (SURE,) * (len(ids) + ended), ended))
            advance(1)
        return found

    def force(
        self, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], advance: Advance = no_progress
    ) -> list[Forced]:
        self.forced += len(prompts)
        advance(len(prompts))
        return [self._force(tuple(prompt), [*reply, END]) for prompt, reply in zip(prompts, replies, strict=True)]

    def _force(self, prompt: tuple[int, ...], given: list[int]) -> Forced:
        mine = [*self.say(prompt), END]
        best = tuple(mine[place] if place < len(mine) else END for place in range(len(given)))
        return Forced(best, (2 * SURE,) * len(given))


def knowing(exercises: Sequence[Exercise]) -> Scripted:
    """Knows the reference answer to each of these exercises."""
    encoder = small_tokenizer()
    answers = {tuple(prompt_ids(encoder, one)): answer_ids(encoder, one) for one in exercises}
    return Scripted(lambda prompt: answers[prompt])


def silent() -> Scripted:
    """Says nothing, and says so at once."""
    return Scripted(lambda prompt: ())
