"""OnnxEngine: the Engine shape over a quantized decoder on ONNX Runtime. Ids only; no text, threads or sockets."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from edge_agent.ladder.limits import Limits
from edge_agent.runtime.adapters import Adapters
from edge_agent.runtime.admission import Admission, Memory, Promise, Verdict
from edge_agent.runtime.context import ContextMode, ContextPolicy, chosen_policy
from edge_agent.runtime.failures import failed
from edge_agent.runtime.kv_disk import DiskOptions, open_disk
from edge_agent.runtime.kv_file import Origin
from edge_agent.runtime.loading import within_memory
from edge_agent.runtime.numerics import Numerics, numerics_id
from edge_agent.runtime.opening import graph_digest, open_graph
from edge_agent.runtime.prefixes import Contexts
from edge_agent.runtime.requests import Waiting, check_state
from edge_agent.runtime.sequence import OnnxSequence, Reading
from edge_agent.runtime.slots import Slot, Slots
from edge_agent.runtime.step_costs import StepCosts
from edgewise.generation.grammar_masks import Grammars, constraint_of
from edgewise.generation.state import GenerationState
from edgewise.graphs import Adapter, CacheRow, DecoderGraph, GraphShape, kernel_id
from edgewise.node.engine import EngineStats, StepOutput
from edgewise.wire.errors import TierRefusedError
from edgewise.wire.manifest import Manifest, load_manifest

CHUNK_TOKENS = 64
PREFIX_BYTES = 64 << 20
_SPEED_STEPS = 64
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineOptions:
    """Sizes of the runtime and how it steps. `context_tokens` None takes the model's own.

    Threads that are `spinning` wait for work without sleeping. `speculation` drafts where `numerics` allows it.
    `machine_dir` keeps what was found out about this machine, and the weights in the order of its kernels; None finds
    it out at every load. `prefix_bytes` of contexts are kept for later prompts beside the slots, and `saved` says where
    they outlive the process. `windowed` bounds the rows of a long text by `context_policy`, or by one that fits the
    model where none is given. `memory_reserve_bytes` are left to others; None leaves a share of all memory. `adapters`
    are files by name; one that does not fit is left out.
    """

    threads: int = 1
    spinning: bool = False
    slots: int = 2
    max_queue: int = 64
    chunk: int = CHUNK_TOKENS
    context_tokens: int | None = None
    numerics: Numerics = Numerics.ONE_ROW
    speculation: bool = True
    machine_dir: Path | None = None
    prefix_bytes: int = PREFIX_BYTES
    saved: DiskOptions | None = None
    context: ContextMode = ContextMode.FULL
    context_policy: ContextPolicy | None = None
    memory_reserve_bytes: int | None = None
    adapters: Mapping[str, Path] = field(default_factory=dict)


@dataclass
class _Running:
    sequence: OnnxSequence
    slot: Slot
    need_bytes: int


class OnnxEngine:
    """Steps one prefill chunk and one token for every decoding sequence; see `edgewise.node.engine.Engine`.

    Resume is exact, and so is speculation, where the numerics are (numerics.py): a row has the same bits whichever
    call made it. `checked` says whether this machine was seen to keep that.
    """

    def __init__(
        self,
        manifest: Manifest,
        graph: DecoderGraph,
        options: EngineOptions | None = None,
        clock: Callable[[], float] = time.perf_counter,
        *,
        checked: bool = True,
        available: Callable[[], int] | None = None,
    ) -> None:
        self._options = options or EngineOptions()
        self._manifest = manifest
        self._graph = graph
        self._clock = clock
        self._limit = min(manifest.context_tokens, self._options.context_tokens or manifest.context_tokens)
        codes = not np.issubdtype(graph.shape.kv_dtype, np.floating)
        policy = chosen_policy(self._options.context, self._options.context_policy, self._limit, codes=codes)
        self._limits = Limits()
        self.grammars: Grammars | None = None
        self._reading = replace(
            _reading(self._options, clock, self._limit, policy), may_draft=lambda: self._limits.speculation
        )
        self.adapters = Adapters(manifest, graph)
        self.adapters.load_all(self._options.adapters)
        self._waiting: dict[str, Waiting] = {}
        self._running: dict[str, _Running] = {}
        digest, numerics = graph_digest(manifest), self._options.numerics
        context = policy.name if policy else ""
        self._numerics_id = numerics_id(kernel_id(), digest, numerics, checked=checked, context=context)
        exact = numerics.exact and checked
        self._saved_for: Origin | None = Origin.of(graph.shape, graph=digest, numerics=self._numerics_id, exact=exact)
        capacity = policy.full if policy else self._limit
        self._slots = Slots(
            graph,
            count=self._options.slots,
            capacity=capacity,
            contexts=Contexts(self._options.prefix_bytes),
            owner=lambda state: state.salt,
        )
        self._admission = Admission(
            token_bytes=graph.shape.kv_bytes_per_token,
            most_tokens=capacity,
            reserve_bytes=self._options.memory_reserve_bytes,
            available=available,
        )
        self._prompt_tokens = self._output_tokens = self._reused_tokens = 0
        self._drafted = self._accepted = 0
        self._speed: deque[tuple[int, float]] = deque(maxlen=_SPEED_STEPS)
        self._admitted: tuple[str, ...] = ()

    @classmethod
    def load(cls, directory: Path, options: EngineOptions | None = None, *, verify: bool = True) -> OnnxEngine:
        """Load a model directory. Raises ModelMissingError, ModelDigestError, ManifestError, ModelTooLargeError."""
        options = options or EngineOptions()
        manifest = load_manifest(directory, verify=verify)
        with within_memory(manifest, directory):
            graph, checked = open_graph(
                directory,
                manifest,
                threads=options.threads,
                spinning=options.spinning,
                machine_dir=options.machine_dir,
            )
            return cls(manifest, graph, options, checked=checked)

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def numerics_id(self) -> str:
        """Library, provider, vector extensions, graph digest, numerics; threads were measured to change no bit."""
        return self._numerics_id

    @property
    def vocab_size(self) -> int:
        return self._graph.shape.vocab

    @property
    def shape(self) -> GraphShape:
        """The graph's sizes, for whoever tells or plans memory."""
        return self._graph.shape

    @property
    def reused_tokens(self) -> int:
        """Prompt tokens that were not read again because an earlier turn had left them in the cache."""
        return self._reused_tokens

    def submit(self, attempt: str, state: GenerationState) -> None:
        waiting = self._checked(state)
        if len(self._waiting) >= self._options.max_queue:
            raise TierRefusedError(
                f"{len(self._waiting)} requests wait for this device already",
                where="edge engine",
                expected=f"at most {self._options.max_queue} waiting",
                remedy="try again soon, or let the cloud answer",
                retry_after_s=1.0,
            )
        need, memory = self._admission.need_bytes(state), self._memory()
        if memory.verdict(need) is Verdict.REFUSE:
            raise self._admission.refusal(need, memory)
        self._open_saved()
        self._waiting[attempt] = waiting

    def step(self) -> list[StepOutput]:
        return [*self._admit(), *self._prefill_next(), *self._decode_all()]

    def cancel(self, attempt: str) -> None:
        self._waiting.pop(attempt, None)
        self._release(attempt)

    def stats(self) -> EngineStats:
        seconds = sum(spent for _, spent in self._speed)
        return EngineStats(
            running=len(self._running),
            queued=len(self._waiting),
            slots=len(self._slots),
            prompt_tokens=self._prompt_tokens,
            output_tokens=self._output_tokens,
            tokens_per_s=sum(count for count, _ in self._speed) / seconds if seconds else 0.0,
            kv_bytes=self._slots.kv_bytes,
            reused_tokens=self._reused_tokens,
            admitted=self._admitted,
            drafted=self._drafted + sum(running.sequence.drafted for running in self._running.values()),
            accepted=self._accepted + sum(running.sequence.accepted for running in self._running.values()),
            promised_bytes=sum(promise.growth_bytes for promise in self._promises()),
        )

    def obey(self, limits: Limits) -> None:
        """Draft, and keep contexts, within these limits from now on. Threads, pace and loading are not an engine's to
        change (edge_agent/serving), and how the cache is kept is fixed with the graph and the context mode."""
        self._limits = limits
        self._slots.limit(limits.prefix_share, keep_idle=limits.keep_idle_kv)

    def hand_on(self) -> Contexts:
        """The contexts that no answer is using, for another engine whose `contexts_of` is the same; nothing is saved
        to disk by this one any more."""
        self._saved_for = None
        return self._slots.hand_on()

    def close(self) -> None:
        """Let go of the graph and of all rows, without waiting for a collector. Nothing can be asked afterwards."""
        self._waiting.clear()
        self._running.clear()
        self._slots.close()
        del self._slots, self.adapters, self._reading
        del self._graph.session

    def take_over(self, contexts: Contexts) -> None:
        """Keep the contexts of an engine that made them as this one would have."""
        self._slots.take_over(contexts)

    @property
    def contexts_of(self) -> tuple[str, str]:
        """What rows depend on: the digest of the graph, and the numerics."""
        return graph_digest(self._manifest), self._numerics_id

    def idle_work(self) -> float | None:
        """Save a piece of what is kept (see `edgewise.node.engine.IdleWork`)."""
        self._open_saved()
        return self._slots.idle_work()

    def put_adapter(self, name: str, adapter: Adapter | None) -> None:
        """Serve an adapter under a name from now on, None: nothing; free what had it where no answer runs under it.
        Between two steps only."""
        if gone := self.adapters.put(name, adapter):
            self._slots.forget(gone)

    def _open_saved(self) -> None:
        """Before the first use, not before: opening removes what other models saved, and this one may never serve."""
        origin, self._saved_for = self._saved_for, None
        if origin is not None:
            self._slots.save_to(open_disk(self._options.saved, origin))

    def check_integrity(self) -> None:
        """Every row is free or runs one sequence, and free rows keep what they claim. Raises AssertionError."""
        assert len(self._running) <= len(self._slots), "more sequences than rows"
        assert all(running.slot.busy for running in self._running.values()), "a running sequence has no row"
        self._slots.check_integrity()

    def _checked(self, state: GenerationState) -> Waiting:
        check_state(state, model=self._manifest.name, vocab=self.vocab_size, context_tokens=self._limit)
        self.adapters.of(state)
        return Waiting(state, constraint_of(self.grammars, state, self._eos(state), self.vocab_size))

    def _eos(self, state: GenerationState) -> frozenset[int]:
        return frozenset(state.eos_ids or self._manifest.eos_ids)

    def _admit(self) -> Iterator[StepOutput]:
        """Give slots to those who wait, in order, while there is memory for them."""
        self._admitted = ()
        for attempt, waiting in list(self._waiting.items()):
            if not self._slots.has_free:
                return
            if output := self._guarded(attempt, partial(self._admit_one, attempt, waiting)):
                self._waiting.pop(attempt, None)
                yield output
            elif attempt in self._waiting:
                return

    def _admit_one(self, attempt: str, waiting: Waiting) -> StepOutput | None:
        """Begin, refuse, or leave it waiting (None, as for a beginning)."""
        need, memory = self._admission.need_bytes(waiting.state), self._memory()
        verdict = memory.verdict(need)
        if verdict is Verdict.REFUSE:
            return StepOutput(attempt, (), error=self._admission.refusal(need, memory))
        if verdict is Verdict.ADMIT:
            self._begin(attempt, waiting, need)
            del self._waiting[attempt]
        return None

    def _begin(self, attempt: str, waiting: Waiting, need_bytes: int) -> None:
        """Give it a row, and make free what is promised with it; when that fails, the row is free again."""
        state = waiting.state
        slot, row = self._free_row(state)
        try:
            more = self._memory(Promise(need_bytes, row.touched_bytes)).to_give_up_bytes
            if more > self._slots.idle_bytes and row.touched_bytes > need_bytes:
                # The row is larger than this answer needs, and others need that: a fresh one takes its place.
                self._slots.give_back(slot, ())
                self._slots.give_up(self._slots.idle_bytes)
                slot, row = self._free_row(state)
                more = 0
            self._slots.give_up(more)
            sequence = OnnxSequence(attempt, state, row, self._reading, self._eos(state), waiting.constraint)
        except Exception:
            self._slots.give_back(slot, ())  # a second time it changes nothing
            raise
        self._reused_tokens += row.length
        self._running[attempt] = _Running(sequence, slot, need_bytes)
        self._admitted += (attempt,)

    def _free_row(self, state: GenerationState) -> tuple[Slot, CacheRow]:
        taken = self._slots.take(state, self.adapters.of(state))
        assert taken is not None, "no slot is free"
        return taken

    def _memory(self, *more: Promise) -> Memory:
        """This moment, with `more` beside what was promised to those who run."""
        return self._admission.memory(self._slots.idle_bytes, (*self._promises(), *more))

    def _promises(self) -> Iterator[Promise]:
        return (Promise(each.need_bytes, each.sequence.row.touched_bytes) for each in self._running.values())

    def _decode_all(self) -> Iterator[StepOutput]:
        started, count = self._clock(), 0
        for attempt, running in list(self._running.items()):
            if running.sequence.prefilling:
                continue
            if output := self._guarded(attempt, running.sequence.decode):
                count += len(output.ids)
                yield output
        self._output_tokens += count
        if count:
            self._speed.append((count, self._clock() - started))

    def _prefill_next(self) -> Iterator[StepOutput]:
        """One chunk for the sequence that has waited longest: a long prompt never holds up the others' tokens."""
        for attempt, running in self._running.items():
            sequence = running.sequence
            if sequence.prefilling:
                before = sequence.row.length
                if output := self._guarded(attempt, sequence.prefill):
                    yield output
                self._prompt_tokens += sequence.row.length - before
                return

    def _guarded(self, attempt: str, work: Callable[[], StepOutput | None]) -> StepOutput | None:
        """Do `work`, and free the row when the sequence ended with it; one broken sequence must not end the others."""
        try:
            output = work()
        except Exception as error:  # noqa: BLE001  the binding's exceptions share no public base class
            output = StepOutput(attempt, (), error=failed(error))
        if output is not None and (output.finish or output.error):
            self._release(attempt)
        return output

    def _release(self, attempt: str) -> None:
        if running := self._running.pop(attempt, None):
            self._drafted += running.sequence.drafted
            self._accepted += running.sequence.accepted
            self._slots.give_back(running.slot, running.sequence.kept_ids)
            if self.adapters.forgot(adapter := running.sequence.row.adapter):
                self._slots.forget(adapter)


def _reading(
    options: EngineOptions, clock: Callable[[], float], context_tokens: int, policy: ContextPolicy | None
) -> Reading:
    """How every sequence of an engine reads; they share what the device's calls cost."""
    speculates = options.speculation and options.numerics.speculates
    return Reading(
        chunk=options.chunk,
        context_tokens=context_tokens,
        policy=policy,
        numerics=options.numerics,
        costs=StepCosts(pads=options.numerics.pads) if speculates else None,
        clock=clock,
    )
