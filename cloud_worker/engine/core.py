"""TorchEngine: the Engine around scheduler, model, sampler and speculation. What is said depends on the state alone.

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
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.numerics import EngineOptions, numerics_id
from cloud_worker.engine.requests import Request
from cloud_worker.engine.scheduler import Limits, Scheduler
from cloud_worker.engine.speculation.drafting import Wanted
from cloud_worker.engine.speculation.speculator import Speculator
from cloud_worker.engine.work import Segment
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
        decoder: Decoder,
        manifest: Manifest,
        options: EngineOptions | None = None,
        clock: Callable[[], float] = time.perf_counter,
        *,
        exact: bool = True,
        speculator: Speculator | None = None,
    ) -> None:
        self.options = options or EngineOptions()
        self._decoder, self._manifest, self._clock = decoder, manifest, clock
        self._numerics_id = numerics_id(self.options, kernels_digest(decoder.weights.norm.dtype), exact=exact)
        self._context = min(manifest.context_tokens, decoder.config.sizes.max_position_embeddings)
        limits = Limits(self.options.slots, self.options.step_tokens, self.options.queue_tokens)
        self._scheduler = Scheduler(BlockPool(decoder.kv.blocks), limits)
        self._speculator = speculator
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
        if len(state.output_ids) >= limit:
            self._over.append(StepOutput(attempt, (), "length"))
            return
        request = Request(
            attempt,
            state.prompt_ids,
            limit,
            list(state.output_ids),
            tenant=state.salt,
            tier=0,
            salt=state.salt,
        )
        self._scheduler.submit(request)
        eos_ids = frozenset(state.eos_ids or self._manifest.eos_ids)
        self._answers[attempt] = _Answer(request, state, eos_ids, limit, [*state.prompt_ids, *state.output_ids])

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
        ended = [attempt for attempt, each in said.items() if each.finish]
        self._scheduler.advance({attempt: each.ids for attempt, each in said.items()}, ended, seconds)
        for attempt, each in said.items():
            if each.error:
                self._scheduler.cancel(attempt)
        self._account(plan.segments, said, seconds)
        return outputs + [self._told(attempt, each) for attempt, each in said.items()]

    def cancel(self, attempt: str) -> None:
        """Forget an answer; its blocks are free at once. Unknown attempts are ignored."""
        self._over = [output for output in self._over if output.attempt != attempt]
        self._scheduler.cancel(attempt)
        self._forget(attempt)

    def stats(self) -> EngineStats:
        scheduler = self._scheduler
        counts = self._speculator.counts if self._speculator else None
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
            drafted=sum(counts.drafted.values()) if counts else 0,
            accepted=sum(counts.accepted.values()) if counts else 0,
            reused_tokens=scheduler.reused_tokens,
        )

    def check_integrity(self) -> None:
        """Every block has its owners, every answer its request. Raises AssertionError."""
        self._scheduler.check_integrity()
        assert self._scheduler.running + self._scheduler.waiting == len(self._answers), "an answer has no request"

    # -- drafts -------------------------------------------------------------------------------------------------------

    def _proposed(self) -> dict[str, tuple[int, ...]]:
        if self._speculator is None:
            return {}
        answering = [self._answers[request.id] for request in self._scheduler.answering]
        wanted = [
            Wanted(answer.request.id, answer.ids, answer.limit - len(answer.state.output_ids) - 1)
            for answer in answering
        ]
        try:
            proposed = self._speculator.propose(wanted, prompt_rows=self._scheduler.prompt_tokens_next)
        except Exception:  # noqa: BLE001  logged there; whatever a drafter raises must not end an answer
            self._draft_no_more()
            return {}
        return {attempt: tuple(takewhile(self._is_known, ids)) for attempt, ids in proposed.items()}

    def _begin_drafts(self, attempt: str) -> None:
        if self._speculator is None:
            return
        try:
            self._speculator.begin(attempt, self._answers[attempt].state)
        except Exception:  # noqa: BLE001  logged there; whatever a drafter raises must not end an answer
            self._draft_no_more()

    def _draft_no_more(self) -> None:
        """A drafter that fails costs speed, never an answer."""
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
                said[attempt] = verified(rows, Ask(answer.state, drafts, answer.eos_ids, answer.left))
                answer.say(said[attempt])
        return said

    def _told(self, attempt: str, said: Said) -> StepOutput:
        if said.finish or said.error:
            self._forget(attempt)
        return StepOutput(attempt, said.ids, said.finish, said.error, said.probabilities)

    def _forget(self, attempt: str) -> None:
        if self._answers.pop(attempt, None) is not None and self._speculator is not None:
            self._speculator.forget(attempt)

    def _account(self, segments: Sequence[Segment], said: dict[str, Said], seconds: float) -> None:
        rows = sum(len(segment.ids) for segment in segments)
        tokens = sum(len(each.ids) for each in said.values())
        self._prompt_tokens += sum(len(segment.ids) for segment in segments if segment.prompt)
        self._output_tokens += tokens
        if tokens and seconds > 0:
            past = _SPEED_MEMORY if self._tokens_per_s else 0.0
            self._tokens_per_s = past * self._tokens_per_s + (1 - past) * tokens / seconds
        if self._speculator is not None:
            self._speculator.stepped(rows, seconds)
            for segment in segments:
                if not segment.prompt and segment.wanted and segment.request in said:
                    self._speculator.verified(segment.request, segment.wanted - 1, said[segment.request].ids)


def check_state(state: GenerationState, vocab_size: int, context_tokens: int) -> None:
    """Refuse what this engine cannot do: BadRequestError, MessageTooLongError, UnsupportedParameterError."""
    for name in ("grammar", "tools"):
        if getattr(state, name) is not None:
            raise UnsupportedParameterError(
                f"This model cannot be used with {name}", where=name, remedy=f"leave {name} out or name another model"
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
