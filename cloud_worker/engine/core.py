"""TorchEngine: continuous batching over one contiguous KV cache for each sequence. Correct first, and the same always.

A prompt is prefilled alone on a fixed chunk grid; every output token, new or replayed, is one row of a padded batch and
attends by its own length. So the next token depends on the state alone, not on companions or on an earlier life
elsewhere. Loading is loader.py, the drawing of tokens sampler.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import islice

import torch
from torch import Tensor

from cloud_worker.engine import sampler
from cloud_worker.engine.models.qwen2 import KVCache, Qwen2
from cloud_worker.engine.numerics import EngineOptions, numerics_id
from cloud_worker.engine.prefixes import PrefixCache
from cloud_worker.engine.sequence import Row, RowCache, Sequence
from edgewise.generation.sampling import LogitsError, check_sampling, next_token
from edgewise.generation.state import GenerationState
from edgewise.node.engine import EngineStats, StepOutput
from edgewise.routing.tier import Finish
from edgewise.wire.errors import (
    BadRequestError,
    ConflictError,
    MessageTooLongError,
    TierRefusedError,
    UnsupportedParameterError,
)
from edgewise.wire.manifest import Manifest

_SPEED_MEMORY = 0.9
"""Weight of the past in the moving average of tokens/s."""


class TorchEngine:
    """An Engine around a Qwen2 module in evaluation mode, on the device and in the precision of `options`."""

    def __init__(
        self,
        model: Qwen2,
        manifest: Manifest,
        options: EngineOptions | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.options = options or EngineOptions()
        self._model, self._manifest, self._clock = model, manifest, clock
        self._numerics_id = numerics_id(self.options)
        self._context = min(manifest.context_tokens, model.config.max_position_embeddings)
        self._sequences: dict[str, Sequence] = {}
        self._spare = KVCache(model.config, 1, self.options.dtype, self.options.device)
        self._prompt_tokens = self._output_tokens = 0
        self._tokens_per_s = 0.0
        self._prefixes = PrefixCache(self.options.chunk_tokens, self.options.prefix_cache_mb * 2**20)
        self.reused_tokens = 0
        """Prompt tokens that were not read again."""
        self._admitted: tuple[str, ...] = ()

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def numerics_id(self) -> str:
        return self._numerics_id

    def submit(self, attempt: str, state: GenerationState) -> None:
        """Queue a sequence.

        Raises BadRequestError (MessageTooLongError and UnsupportedParameterError among them), ConflictError for an
        attempt that runs already, TierRefusedError when the queue is full.
        """
        check_state(state, self._model.config.vocab_size, self._context)
        if attempt in self._sequences:
            raise ConflictError(f"The attempt {attempt} runs already", expected="a new attempt id")
        if len(self._sequences) >= self.options.slots + self.options.max_queue:
            raise TierRefusedError(
                "The engine's queue is full", expected=f"at most {self.options.max_queue} waiting", retry_after_s=1.0
            )
        limit = min(state.max_tokens, self._context - len(state.prompt_ids))
        eos_ids = frozenset(state.eos_ids or self._manifest.eos_ids)
        self._sequences[attempt] = Sequence(attempt, state, limit, eos_ids)

    def step(self) -> list[StepOutput]:
        """One prefill chunk, and one decode step for the sequences that were ready before it; empty when idle."""
        began = self._clock()
        outputs = self._admit()
        running = [sequence for sequence in self._sequences.values() if sequence.admitted]
        filling = [sequence for sequence in running if sequence.in_prefill][:1]
        ready = [sequence for sequence in running if not sequence.in_prefill]
        with torch.inference_mode():
            for sequence in filling:
                outputs += self._prefill(sequence)
            if ready:
                outputs += self._decode(ready)
        self._count(outputs, self._clock() - began)
        return outputs

    def cancel(self, attempt: str) -> None:
        """Forget a sequence and its cache; unknown attempts are ignored."""
        self._sequences.pop(attempt, None)

    def stats(self) -> EngineStats:
        running = sum(sequence.admitted for sequence in self._sequences.values())
        return EngineStats(
            running=running,
            queued=len(self._sequences) - running,
            slots=self.options.slots,
            prompt_tokens=self._prompt_tokens,
            output_tokens=self._output_tokens,
            tokens_per_s=self._tokens_per_s,
            kv_bytes=sum(each.kv_bytes for each in self._sequences.values()) + self._prefixes.size_bytes,
            admitted=self._admitted,
        )

    def _admit(self) -> list[StepOutput]:
        """Give free slots to those who wait, first come first served; those with nothing left to say end here."""
        over = [self._end(sequence, "length") for sequence in list(self._sequences.values()) if sequence.over]
        free = self.options.slots - sum(sequence.admitted for sequence in self._sequences.values())
        waiting = (sequence for sequence in self._sequences.values() if not sequence.admitted)
        admitted = list(islice(waiting, free))
        for sequence in admitted:
            sequence.admit(self._model.config, self.options.dtype, self.options.device)
            sequence.prefilled = self._prefixes.fill(sequence.state.prompt_ids, sequence.cache)
            self.reused_tokens += sequence.prefilled
        self._admitted = tuple(sequence.attempt for sequence in admitted)
        return over

    def _prefill(self, sequence: Sequence) -> list[StepOutput]:
        """Read one chunk of a prompt; the last one gives the first token, unless the answer has begun elsewhere."""
        ids, start = sequence.next_chunk(self.options.chunk_tokens), sequence.prefilled
        positions = torch.arange(start, start + len(ids), device=self.options.device)[None]
        hidden = self._model.hidden(self._tensor(ids)[None], positions, [sequence.cache])
        sequence.prefilled += len(ids)
        self._prompt_tokens += len(ids)
        if sequence.in_prefill:
            return []
        self._prefixes.keep(sequence.state.prompt_ids, sequence.cache)
        if sequence.state.output_ids:
            return []
        return [self._sample(sequence, self._logits(hidden[:, -1])[0])]

    def _decode(self, ready: list[Sequence]) -> list[StepOutput]:
        """One row for every ready sequence, and what room is left for those that replay."""
        rows, room = [], self.options.max_rows - len(ready)
        for sequence in ready:
            taken = list(sequence.rows(1 + room))
            room -= len(taken) - 1
            rows += taken
        hidden = self._forward(rows)
        wanted = [index for index, row in enumerate(rows) if row.last]
        if not wanted:
            return []
        logits = self._logits(hidden[wanted])
        return [self._sample(rows[index].sequence, logits[n]) for n, index in enumerate(wanted)]

    def _forward(self, rows: list[Row]) -> Tensor:
        """Hidden states [padded rows, hidden] of a batch of rows."""
        padding = self.options.padded_rows(len(rows)) - len(rows)
        caches: list[KVCache] = [RowCache(row.sequence.cache, row.position) for row in rows]
        caches += [RowCache(self._spare, 0) for _ in range(padding)]
        ids = self._tensor([row.token for row in rows] + [0] * padding)[:, None]
        positions = self._tensor([row.position for row in rows] + [0] * padding)[:, None]
        hidden = self._model.hidden(ids, positions, caches)
        for row in rows:
            row.sequence.replayed += 1
        return hidden[:, 0]

    def _logits(self, hidden: Tensor) -> Tensor:
        """Logits of hidden [n, hidden], computed on the row grid; float32 [n, vocabulary]."""
        padding = self.options.padded_rows(len(hidden)) - len(hidden)
        padded = torch.cat((hidden, hidden[:1].expand(padding, -1)))
        return self._model.head(padded)[: len(hidden)].float()

    def _sample(self, sequence: Sequence, logits: Tensor) -> StepOutput:
        try:
            token = self._next_token(logits, sequence.state)
        except LogitsError as error:
            self.cancel(sequence.attempt)
            return StepOutput(sequence.attempt, (), error=str(error))
        if token in sequence.eos_ids:
            return self._end(sequence, "stop")
        sequence.say(token)
        return self._end(sequence, "length", (token,)) if sequence.over else StepOutput(sequence.attempt, (token,))

    def _next_token(self, logits: Tensor, state: GenerationState) -> int:
        """NumPy's twin is the faster one where the logits are in its reach already."""
        if self.options.on_cpu:
            return next_token(logits.numpy(), state)
        return sampler.next_token(logits, state)

    def _end(self, sequence: Sequence, finish: Finish, ids: tuple[int, ...] = ()) -> StepOutput:
        self.cancel(sequence.attempt)
        return StepOutput(sequence.attempt, ids, finish)

    def _count(self, outputs: list[StepOutput], seconds: float) -> None:
        tokens = sum(len(output.ids) for output in outputs)
        self._output_tokens += tokens
        if tokens and seconds > 0:
            past = _SPEED_MEMORY if self._tokens_per_s else 0.0
            self._tokens_per_s = past * self._tokens_per_s + (1 - past) * tokens / seconds

    def _tensor(self, numbers: Iterable[int]) -> Tensor:
        return torch.tensor(list(numbers), device=self.options.device)


def check_state(state: GenerationState, vocab_size: int, context_tokens: int) -> None:
    """Refuse what this engine cannot do: BadRequestError, MessageTooLongError, UnsupportedParameterError."""
    for name in ("grammar", "tools"):
        if getattr(state, name) is not None:
            raise UnsupportedParameterError(
                f"This model cannot be used with {name}", where=name, remedy=f"leave {name} out or name another model"
            )
    if not state.prompt_ids or not all(0 <= i < vocab_size for i in (*state.prompt_ids, *state.output_ids)):
        raise BadRequestError("The prompt does not fit the model", expected=f"token ids below {vocab_size}")
    if len(state.prompt_ids) + len(state.output_ids) >= context_tokens:
        raise MessageTooLongError(
            f"The prompt and the answer so far have {len(state.prompt_ids) + len(state.output_ids)} tokens",
            where="messages",
            expected=f"fewer than {context_tokens} for this model",
            remedy="shorten the messages",
        )
    check_sampling(state.sampling, vocab_size)
