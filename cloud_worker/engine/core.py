"""TorchEngine: the Engine around scheduler, model, sampling and speculation. What is said depends on the state alone.

    step    propose drafts ─► plan ─► one call of the model ─► a token for each row that is wanted, drafts held or not

Which requests share a step, how prompts were cut, what was drafted, reused or read again changes no token: the parts
promise that (model/, edgewise.generation.sampling), and exactness.py looks whether this machine keeps it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from cloud_worker.engine.blocks import BlockPool
from cloud_worker.engine.exactness import kernels_digest
from cloud_worker.engine.model.base import Model
from cloud_worker.engine.numerics import EngineOptions, numerics_id
from cloud_worker.engine.requests import Request
from cloud_worker.engine.scheduler import Limits, Scheduler
from cloud_worker.engine.speculation.drafting import Wanted
from cloud_worker.engine.speculation.speculator import SpeculationCounts, Speculator
from cloud_worker.engine.work import Segment
from edgewise.generation.grammar import Constraint
from edgewise.generation.grammar_masks import Grammars, constraint_of
from edgewise.generation.penalties import Tally
from edgewise.generation.sampling import check_sampling
from edgewise.generation.state import GenerationState
from edgewise.generation.verification import Ask, Said, verified
from edgewise.node.engine import EngineStats, StepOutput
from edgewise.wire.errors import BadRequestError, ConflictError, MessageTooLongError, UnsupportedParameterError
from edgewise.wire.manifest import Manifest

_SPEED_MEMORY = 0.9
"""Weight of the past in the moving average of output tokens/s."""
Logits = NDArray[np.float32]
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Answer:
    """One answer from submit to its end. `ids` are prompt and output, for drafters; `limit` output tokens end it."""

    request: Request
    state: GenerationState
    eos_ids: frozenset[int]
    limit: int
    ids: list[int]
    tally: Tally
    constraint: Constraint | None = None

    @property
    def left(self) -> int:
        """Tokens that may still be said."""
        return self.limit - len(self.state.output_ids)

    def say(self, said: Said) -> None:
        self.state = said.state
        self.ids += said.ids


class TorchEngine:
    """An Engine around a decoder; see `edgewise.node.engine.Engine`. `exact` is what exactness.py found out."""

    def __init__(
        self,
        decoder: Model,
        manifest: Manifest,
        options: EngineOptions | None = None,
        clock: Callable[[], float] = time.perf_counter,
        *,
        exact: bool = True,
        speculator: Speculator | None = None,
    ) -> None:
        self.options = options or EngineOptions()
        self._decoder, self._manifest, self._clock = decoder, manifest, clock
        norm = decoder.weights.norm
        looked = decoder.digested_rows, decoder.named
        kernels = kernels_digest(norm.dtype, self.options.weights, norm.device, *looked)
        self._numerics_id = numerics_id(self.options, kernels, exact=exact)
        self._context = min(manifest.context_tokens, decoder.config.sizes.max_position_embeddings)
        limits = Limits(self.options.slots, self.options.step_tokens, self.options.queue_tokens)
        self._scheduler = Scheduler(BlockPool(decoder.kv.blocks), limits)
        self._speculator = speculator
        self._drafted = speculator.counts if speculator else SpeculationCounts()
        self.grammars: Grammars | None = None
        self._answers: dict[str, _Answer] = {}
        self._over: list[StepOutput] = []
        self._prompt_tokens = self._output_tokens = 0
        self._tokens_per_s = 0.0
        self._admitted: tuple[str, ...] = ()

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def numerics_id(self) -> str:
        return self._numerics_id

    @property
    def vocab_size(self) -> int:
        return self._decoder.config.sizes.vocab_size

    def submit(self, attempt: str, state: GenerationState) -> None:
        """Queue an answer, or go on with one.

        Raises BadRequestError (MessageTooLongError and UnsupportedParameterError among them), ConflictError for an
        attempt that runs already, TierRefusedError when too much waits.
        """
        check_state(state, self.vocab_size, self._context)
        if attempt in self._answers or any(output.attempt == attempt for output in self._over):
            raise ConflictError(f"The attempt {attempt} runs already", expected="a new attempt id")
        limit = min(state.max_tokens, self._context - len(state.prompt_ids))
        eos_ids = frozenset(state.eos_ids or self._manifest.eos_ids)
        constraint = constraint_of(self.grammars, state, eos_ids, self.vocab_size)
        complete = constraint is not None and constraint.complete(state.output_ids)
        if complete or len(state.output_ids) >= limit:
            self._over.append(StepOutput(attempt, (), "stop" if complete else "length"))
            return
        request = Request(
            attempt,
            state.prompt_ids,
            limit,
            list(state.output_ids),
            tenant=state.tenant or state.salt,
            tier=state.rank,
            salt=state.salt,
        )
        self._scheduler.submit(request)
        known = [*state.prompt_ids, *state.output_ids]
        self._answers[attempt] = _Answer(request, state, eos_ids, limit, known, Tally(state), constraint)

    def step(self) -> list[StepOutput]:
        """One call of the model for prompts, next tokens and drafts together; empty when there is nothing to do."""
        outputs, self._over = self._over, []
        drafts = self._proposed()
        plan = self._scheduler.plan(lambda request: drafts.get(request.id, ()))
        self._admitted = plan.admitted
        for attempt in plan.admitted:
            self._begin_drafts(attempt)
        for copy in plan.copies:
            self._decoder.kv.copy_block(copy.source, copy.target, copy.tokens)
        if not plan.segments:
            return outputs
        began = self._clock()
        hidden = self._decoder.forward(plan.segments)
        logits: Logits = self._decoder.logits(hidden).numpy()
        said = self._read_out(plan.segments, logits)
        seconds = self._clock() - began
        self._account(plan.segments, said, seconds)  # before the scheduler uses the segments again
        ended = [attempt for attempt, each in said.items() if each.finish]
        self._scheduler.advance({attempt: each.ids for attempt, each in said.items()}, ended, seconds)
        for attempt, each in said.items():
            if each.error:
                self._scheduler.cancel(attempt)
        held = {attempt: len(each.blocks) for each in plan.segments for attempt in (each.request, *each.also)}
        return outputs + [self._told(attempt, each, held[attempt]) for attempt, each in said.items()]

    def cancel(self, attempt: str) -> None:
        """Forget an answer; its blocks are free at once. Unknown attempts are ignored."""
        self._over = [output for output in self._over if output.attempt != attempt]
        self._scheduler.cancel(attempt)
        self._forget(attempt)

    def stats(self) -> EngineStats:
        scheduler = self._scheduler
        return EngineStats(
            running=scheduler.running,
            queued=scheduler.waiting,
            slots=self.options.slots,
            prompt_tokens=self._prompt_tokens,
            output_tokens=self._output_tokens,
            tokens_per_s=self._tokens_per_s,
            kv_bytes=scheduler.pool.used * self._decoder.kv.size_bytes // self._decoder.kv.blocks,
            kv_capacity_bytes=self._decoder.kv.size_bytes,
            admitted=self._admitted,
            drafted=sum(self._drafted.drafted.values()),
            accepted=sum(self._drafted.accepted.values()),
            reused_tokens=scheduler.reused_tokens,
        )

    def check_integrity(self) -> None:
        """Every block has its owners, every answer its request. Raises AssertionError."""
        self._scheduler.check_integrity()
        assert self._scheduler.running + self._scheduler.waiting == len(self._answers), "an answer has no request"

    # -- drafts -------------------------------------------------------------------------------------------------------

    def _proposed(self) -> dict[str, tuple[int, ...]]:
        answering = [self._answers[request.id] for request in self._scheduler.answering]
        wanted = [
            Wanted(answer.request.id, answer.ids, answer.limit - len(answer.state.output_ids) - 1)
            for answer in answering
        ]
        rows, proposed = self._scheduler.prompt_tokens_next, dict[str, tuple[int, ...]]()
        self._speculated(lambda speculator: proposed.update(speculator.propose(wanted, prompt_rows=rows)))
        return {attempt: tuple(takewhile(self._is_known, ids)) for attempt, ids in proposed.items()}

    def _begin_drafts(self, attempt: str) -> None:
        self._speculated(lambda speculator: speculator.begin(attempt, self._answers[attempt].state))

    def _speculated(self, act: Callable[[Speculator], None]) -> None:
        """Whatever a drafter raises costs speed, never an answer."""
        if self._speculator is None:
            return
        try:
            act(self._speculator)
        except Exception:
            logger.exception("speculation failed, and is off until the worker starts again")
            self._speculator = None

    def _is_known(self, token: int) -> bool:
        return 0 <= token < self.vocab_size

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _read_out(self, segments: Sequence[Segment], logits: Logits) -> dict[str, Said]:
        """What the wanted rows say, by answer; a last row of equal prompts speaks for each of them."""
        said, first = dict[str, Said](), 0
        for segment in segments:
            rows = logits[first : first + segment.wanted]
            first += segment.wanted
            if not segment.wanted:
                continue
            drafts = segment.ids[len(segment.ids) - segment.wanted + 1 :]
            for attempt in (segment.request, *segment.also):
                answer = self._answers[attempt]
                ask = Ask(answer.state, drafts, answer.eos_ids, answer.left, answer.constraint, answer.tally)
                said[attempt] = verified(rows, ask)
                answer.say(said[attempt])
        return said

    def _told(self, attempt: str, said: Said, blocks: int) -> StepOutput:
        if said.finish or said.error:
            self._forget(attempt)
        kv_bytes = self._decoder.kv.size_bytes // self._decoder.kv.blocks
        return StepOutput(attempt, said.ids, said.finish, said.error, said.probabilities, blocks * kv_bytes)

    def _forget(self, attempt: str) -> None:
        if self._answers.pop(attempt, None) is not None:
            self._speculated(lambda speculator: speculator.forget(attempt))

    def _account(self, segments: Sequence[Segment], said: dict[str, Said], seconds: float) -> None:
        rows = sum(len(segment.ids) for segment in segments)
        tokens = sum(len(each.ids) for each in said.values())
        self._prompt_tokens += sum(len(segment.ids) for segment in segments if segment.prompt)
        self._output_tokens += tokens
        if tokens and seconds > 0:
            past = _SPEED_MEMORY if self._tokens_per_s else 0.0
            self._tokens_per_s = past * self._tokens_per_s + (1 - past) * tokens / seconds
        self._speculated(lambda speculator: _learn(speculator, segments, said, rows, seconds))


def _learn(
    speculator: Speculator, segments: Sequence[Segment], said: dict[str, Said], rows: int, seconds: float
) -> None:
    """Tell what a step took and what came of its drafts."""
    speculator.stepped(rows, seconds)
    for segment in segments:
        if not segment.prompt and segment.wanted and segment.request in said:
            speculator.verified(segment.request, segment.wanted - 1, said[segment.request].ids)


def check_state(state: GenerationState, vocab_size: int, context_tokens: int) -> None:
    """Refuse what this engine cannot do: BadRequestError, MessageTooLongError, UnsupportedParameterError."""
    if state.tools is not None:
        raise UnsupportedParameterError(
            "This model cannot be used with tools", where="tools", remedy="leave tools out or name another model"
        )
    if not state.prompt_ids or not all(0 <= i < vocab_size for i in (*state.prompt_ids, *state.output_ids)):
        raise BadRequestError("The prompt does not fit the model", expected=f"token ids below {vocab_size}")
    used = len(state.prompt_ids) + len(state.output_ids)
    if len(state.prompt_ids) >= context_tokens or used > context_tokens:
        raise MessageTooLongError(
            f"The prompt and the answer so far have {used} tokens",
            where="messages",
            expected=f"fewer than {context_tokens} for this model",
            remedy="shorten the messages",
        )
    check_sampling(state.sampling, vocab_size)
