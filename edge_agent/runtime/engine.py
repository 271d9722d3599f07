"""OnnxEngine: the Engine shape over a quantized decoder on ONNX Runtime. Ids only; no text, threads or sockets."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from edge_agent.runtime import self_check
from edge_agent.runtime.admission import Admission, Memory, Promise, Verdict
from edge_agent.runtime.context import ContextMode, ContextPolicy
from edge_agent.runtime.kv_disk import DiskOptions, open_disk
from edge_agent.runtime.kv_file import Origin
from edge_agent.runtime.numerics import Numerics, numerics_id
from edge_agent.runtime.prefixes import Contexts
from edge_agent.runtime.sequence import OnnxSequence, Reading
from edge_agent.runtime.slots import Slot, Slots
from edge_agent.runtime.step_costs import StepCosts
from edgewise.generation.sampling import check_sampling
from edgewise.generation.state import GenerationState
from edgewise.graphs import CacheRow, DecoderGraph, GraphShape, SessionSettings, kernel_id
from edgewise.graphs.prepacked import PrepackedStore
from edgewise.node.engine import EngineStats, StepOutput
from edgewise.wire.errors import (
    ManifestError,
    MessageTooLongError,
    TierRefusedError,
    UnsupportedParameterError,
)
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
    model where none is given. `memory_reserve_bytes` are left to others; None leaves a share of all memory.
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
        policy = _policy(self._options, self._limit, graph.shape)
        self._reading = _reading(self._options, clock, self._limit, policy)
        self._waiting: dict[str, GenerationState] = {}
        self._running: dict[str, _Running] = {}
        digest, numerics = _graph_digest(manifest), self._options.numerics
        context = policy.name if policy else ""
        self._numerics_id = numerics_id(kernel_id(), digest, numerics, checked=checked, context=context)
        exact = numerics.exact and checked
        origin = Origin.of(graph.shape, graph=digest, numerics=self._numerics_id, exact=exact)
        capacity = policy.full if policy else self._limit
        contexts, disk = Contexts(self._options.prefix_bytes), open_disk(self._options.saved, origin)
        self._slots = Slots(graph, count=self._options.slots, capacity=capacity, contexts=contexts, disk=disk)
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
        """Load a model directory. Raises ModelMissingError, ModelDigestError, ManifestError."""
        options = options or EngineOptions()
        manifest = load_manifest(directory, verify=verify)
        digest = _graph_digest(manifest)
        prepacked = PrepackedStore(options.machine_dir / "prepacked") if options.machine_dir else None
        settings = SessionSettings(options.threads, options.spinning, prepacked)
        graph = DecoderGraph.load(directory / _graph_file(manifest, directory), settings, digest)
        return cls(manifest, graph, options, checked=_checked(graph, manifest, options.machine_dir))

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def numerics_id(self) -> str:
        """Library, provider, vector extensions, graph digest, numerics; threads were measured to change no bit."""
        return self._numerics_id

    @property
    def shape(self) -> GraphShape:
        """The graph's sizes, for whoever tells or plans memory."""
        return self._graph.shape

    @property
    def reused_tokens(self) -> int:
        """Prompt tokens that were not read again because an earlier turn had left them in the cache."""
        return self._reused_tokens

    def submit(self, attempt: str, state: GenerationState) -> None:
        self._check(state)
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
        self._waiting[attempt] = state

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
        )

    def idle_work(self) -> float | None:
        """Save a piece of what is kept (see `edgewise.node.engine.IdleWork`)."""
        return self._slots.idle_work()

    def check_integrity(self) -> None:
        """Every row is free or runs one sequence, and free rows keep what they claim. Raises AssertionError."""
        assert len(self._running) <= len(self._slots), "more sequences than rows"
        assert all(running.slot.busy for running in self._running.values()), "a running sequence has no row"
        self._slots.check_integrity()

    def _check(self, state: GenerationState) -> None:
        used = len(state.prompt_ids) + len(state.output_ids)
        if used > self._limit or not state.prompt_ids:
            raise MessageTooLongError(
                f"The conversation has {used} tokens",
                where="edge engine",
                expected=f"1 to {self._limit} tokens for {self._manifest.name} on this device",
                remedy="shorten the messages, or let the cloud answer",
            )
        if state.grammar is not None:
            raise _unsupported("a grammar", "no grammar: this runtime has no constrained decoding", "leave it out")
        vocab = self._graph.shape.vocab
        check_sampling(state.sampling, vocab)
        if not all(0 <= token < vocab for token in (*state.prompt_ids, *state.output_ids)):
            raise _unsupported("these token ids", f"ids 0 to {vocab - 1}", "use this model's tokenizer")

    def _admit(self) -> Iterator[StepOutput]:
        """Give slots to those who wait, in order, while there is memory for them."""
        self._admitted = ()
        for attempt, state in list(self._waiting.items()):
            if not self._slots.has_free:
                return
            if output := self._guarded(attempt, partial(self._admit_one, attempt, state)):
                self._waiting.pop(attempt, None)
                yield output
            elif attempt in self._waiting:
                return

    def _admit_one(self, attempt: str, state: GenerationState) -> StepOutput | None:
        """Begin, refuse, or leave it waiting (None, as for a beginning)."""
        need, memory = self._admission.need_bytes(state), self._memory()
        verdict = memory.verdict(need)
        if verdict is Verdict.REFUSE:
            return StepOutput(attempt, (), error=str(self._admission.refusal(need, memory)))
        if verdict is Verdict.ADMIT:
            self._begin(attempt, state, need)
            del self._waiting[attempt]
        return None

    def _begin(self, attempt: str, state: GenerationState, need_bytes: int) -> None:
        """Give it a row, and make free what is promised with it; when that fails, the row is free again."""
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
            eos = frozenset(state.eos_ids or self._manifest.eos_ids)
            sequence = OnnxSequence(attempt, state, row, self._reading, eos)
        except Exception:
            self._slots.give_back(slot, ())  # a second time it changes nothing
            raise
        self._reused_tokens += row.length
        self._running[attempt] = _Running(sequence, slot, need_bytes)
        self._admitted += (attempt,)

    def _free_row(self, state: GenerationState) -> tuple[Slot, CacheRow]:
        taken = self._slots.take(state)
        assert taken is not None, "no slot is free"
        return taken

    def _memory(self, *more: Promise) -> Memory:
        """This moment, with `more` beside what was promised to those who run."""
        running = (Promise(each.need_bytes, each.sequence.row.touched_bytes) for each in self._running.values())
        return self._admission.memory(self._slots.idle_bytes, (*running, *more))

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
            output = StepOutput(attempt, (), error=f"The edge engine failed on this answer: {error}")
        if output is not None and (output.finish or output.error):
            self._release(attempt)
        return output

    def _release(self, attempt: str) -> None:
        if running := self._running.pop(attempt, None):
            self._drafted += running.sequence.drafted
            self._accepted += running.sequence.accepted
            self._slots.give_back(running.slot, running.sequence.kept_ids)


def _policy(options: EngineOptions, context_tokens: int, shape: GraphShape) -> ContextPolicy | None:
    """What drops rows; None where every text that fits into the context keeps them all."""
    if options.context is ContextMode.FULL:
        return None
    policy = options.context_policy or ContextPolicy.scaled(context_tokens)
    if policy is None or policy.full >= context_tokens:
        return None
    if policy.keys and not np.issubdtype(shape.kv_dtype, np.floating):
        logger.warning("the cache holds codes, not keys: long texts keep no key tokens, but a wider window")
        return replace(policy, keys=0)
    return policy


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


def _checked(graph: DecoderGraph, manifest: Manifest, machine_dir: Path | None) -> bool:
    """Whether this machine keeps what exact answers rest on. Raises ManifestError for a graph that does not run."""
    try:
        holds = self_check.remembered(graph, kernel_id(), _graph_digest(manifest), machine_dir, manifest.context_tokens)
    except Exception as error:
        raise ManifestError(
            f"The graph {graph.path.name} loads, but does not run: {str(error)[:300]}",
            where=str(graph.path),
            expected="a decoder graph that reads a few tokens",
            remedy="export the model again: edgewise model export DIR --out FOLDER",
        ) from error
    if not holds:
        logger.warning("this machine's kernels give other bits for other splits of a text: answers are not exact here")
    return holds


def _graph_file(manifest: Manifest, directory: Path) -> str:
    graphs = [name for name in manifest.files if name.endswith(".onnx")]
    if len(graphs) != 1:
        raise ManifestError(
            f"The model has {len(graphs)} .onnx files",
            where=str(directory),
            expected="exactly one graph",
            remedy="use an edge model directory",
        )
    return graphs[0]


def _graph_digest(manifest: Manifest) -> str:
    """Digest of the graph and of the weight files beside it, whichever of them holds the tensors."""
    listed = sorted((name, entry.sha256) for name, entry in manifest.files.items() if ".onnx" in name)
    return hashlib.sha256(repr(listed).encode()).hexdigest()


def _unsupported(what: str, expected: str, remedy: str) -> UnsupportedParameterError:
    return UnsupportedParameterError(
        f"The edge engine cannot take {what}", where="edge engine", expected=expected, remedy=remedy
    )
