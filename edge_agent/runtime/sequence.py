"""One generation on one cache row: ids read in chunks, ids replayed one by one, then a call for each next tokens.

one-row    |-- prompt: chunks --| o o o replay: single calls | *  *  *       each call gives one token
others     |-- prompt and replay: chunks ------------------- | **  *  ***    each call verifies drafts as well

A resumed generation reads the rows that the undisturbed one read, by calls that give the same bits (docs/adr/0030).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_agent.runtime.context import ContextPolicy, make_room
from edge_agent.runtime.numerics import Numerics
from edge_agent.runtime.speculation import Speculation
from edge_agent.runtime.step_costs import StepCosts
from edgewise.generation.grammar import Constraint
from edgewise.generation.state import GenerationState
from edgewise.generation.verification import Ask, Said, verified
from edgewise.graphs import TILE_ROWS, CacheRow, Logits
from edgewise.node.engine import StepOutput
from edgewise.speculation import Draft

REPLAY_PER_STEP = 16
"""Single calls of one step while output ids are replayed."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the sequences of one engine read: chunk of a prefill call, numerics, and the device's costs.

    `context_tokens` is the most that prompt and answer may have; None takes what a row holds. `policy` says which rows
    of a long text stay; None keeps them all. `costs` None drafts nothing; `clock` gives seconds for them. `may_draft`
    is asked before every draft, of running answers too.
    """

    chunk: int
    context_tokens: int | None = None
    policy: ContextPolicy | None = None
    numerics: Numerics = Numerics.ONE_ROW
    costs: StepCosts | None = None
    clock: Callable[[], float] = time.perf_counter
    may_draft: Callable[[], bool] = lambda: True


class OnnxSequence:
    """A running attempt. `row` holds the first tokens of the prompt already where an earlier context was reused."""

    def __init__(
        self,
        attempt: str,
        state: GenerationState,
        row: CacheRow,
        reading: Reading,
        eos: frozenset[int],
        constraint: Constraint | None = None,
    ) -> None:
        self.attempt = attempt
        self.state = state
        self.row = row
        self.drafted = self.accepted = 0
        self._reading = reading
        self._eos = eos
        self._constraint = constraint
        self._limit = reading.context_tokens or row.capacity
        self._chunked = _known(state) if reading.numerics.output_like_prompt else state.prompt_ids
        self._speculation = Speculation(reading.costs, _known(state)) if reading.costs else None
        self._logits: Logits | None = None

    @property
    def prefilling(self) -> bool:
        """Whether chunks are still to be read."""
        return self.row.length < len(self._chunked) and self.state.budget > 0

    @property
    def kept_ids(self) -> tuple[int, ...]:
        """The first ids of prompt and output whose rows in the cache have the bits that reading a prompt gives."""
        reusable = _known(self.state) if self._reading.numerics.output_like_prompt else self.state.prompt_ids
        return reusable[: self.row.length]

    def prefill(self) -> None:
        """Read the next chunk."""
        start = self.row.length
        stop = min(start + self._reading.chunk, self._place_after(start), len(self._chunked))
        # A row that drops is shorter than the context: there is room, and no way back over a place.
        if stop == self._limit == self.row.capacity and (stop - start) % TILE_ROWS == 1 and start > 0:
            start -= 1  # reading a token again is as good as padding, for which a graph has no room at its very end
            self.row.rewind(start)
        self._logits = self._read(self._chunked[start:stop], many=True)

    def decode(self) -> StepOutput | None:
        """The next token and the drafts that hold after it, or a bounded piece of replay (None)."""
        if self._constraint is not None and self._constraint.complete(self.state.output_ids):
            return StepOutput(self.attempt, (), "stop")
        if self.state.budget <= 0 or (self.state.output_ids and self._is_full()):
            return StepOutput(self.attempt, (), "length")
        if not self._caught_up():
            return None
        if self._logits is not None and self.row.length == self._used():
            return self._say(self._logits, Draft())
        return self._step()

    def _caught_up(self) -> bool:
        """Feed output ids that the cache lacks, all but the last, which the next call begins with."""
        missing = self.state.output_ids[self.row.length - len(self.state.prompt_ids) : -1]
        for token in missing[:REPLAY_PER_STEP]:
            self._read((token,))
        return len(missing) <= REPLAY_PER_STEP

    def _step(self) -> StepOutput:
        """One call: the last id and what is drafted after it. What was drafted in vain is forgotten."""
        before, draft = self.row.length, self._draft()  # a rewind never goes back over a place where rows were dropped
        ids = ((self.state.output_ids or self.state.prompt_ids)[-1], *draft.ids)
        many = len(ids) > 1 or self._reading.numerics.pads
        logits = self._timed(lambda: self._read(ids, len(ids), many=many), len(ids))
        accepted = self.accepted
        output = self._say(logits, draft)
        self.row.rewind(before + 1 + self.accepted - accepted)
        return output

    def _read(self, ids: Sequence[int], rows: int = 1, *, many: bool = False) -> Logits:
        """One call, after what the policy drops before it."""
        if self._reading.policy is not None:
            make_room(self.row, self._reading.policy)
        return self.row.forward(ids, rows, many=many)

    def _place_after(self, tokens: int) -> int:
        """How far a call that begins at `tokens` may go at most."""
        policy = self._reading.policy
        return self._limit if policy is None else min(self._limit, policy.place_after(tokens))

    def _timed(self, call: Callable[[], Logits], rows: int) -> Logits:
        """The result of a call whose time the device's costs learn from."""
        if (costs := self._reading.costs) is None:
            return call()
        started = self._reading.clock()
        logits = call()
        costs.observe(rows, self._reading.clock() - started)
        return logits

    def _draft(self) -> Draft:
        """Never more ids than may still be said before the last one."""
        if self._speculation is None or not self._reading.may_draft():
            return Draft()
        room = min(self._limit - self._used(), self._place_after(self.row.length) - self.row.length)
        return self._speculation.draft(min(self.state.budget, room) - 1)

    def _say(self, logits: Logits, draft: Draft) -> StepOutput:
        """Draw a token from each row [vocab] of `logits` while the one before it was drawn as drafted."""
        most = max(1, min(self.state.budget, self._limit - self._used()))
        said = verified(logits, Ask(self.state, draft.ids, self._eos, most, self._constraint))
        self.state = said.state
        self._account(draft, said)
        return StepOutput(self.attempt, said.ids, said.finish, said.error, said.probabilities, self.row.touched_bytes)

    def _is_full(self) -> bool:
        return self.state.budget <= 0 or self._used() >= self._limit

    def _used(self) -> int:
        """Tokens of prompt and output."""
        return len(self.state.prompt_ids) + len(self.state.output_ids)

    def _account(self, draft: Draft, said: Said) -> None:
        self.drafted += len(draft.ids)
        self.accepted += said.held
        if self._speculation:
            self._speculation.verified(draft, said.ids, said.held)


def _known(state: GenerationState) -> tuple[int, ...]:
    return state.prompt_ids + state.output_ids
