"""OnnxEngine: the Engine shape over a quantized decoder on ONNX Runtime. Ids only; no text, threads or sockets."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.runtime.sequence import OnnxSequence
from edge_agent.runtime.session import OnnxGraph, kernel_id
from edge_agent.runtime.slots import Slot, Slots
from edgewise.generation.sampling import check_sampling
from edgewise.generation.state import GenerationState
from edgewise.node.engine import EngineStats, StepOutput
from edgewise.wire.errors import (
    ManifestError,
    MessageTooLongError,
    TierRefusedError,
    UnsupportedParameterError,
)
from edgewise.wire.manifest import Manifest, load_manifest

CHUNK_TOKENS = 64
_SPEED_STEPS = 64


@dataclass(frozen=True)
class EngineOptions:
    """Sizes of the runtime. `context_tokens` None takes the model's own; `chunk` is part of the numerics id."""

    threads: int = 1
    slots: int = 2
    max_queue: int = 64
    chunk: int = CHUNK_TOKENS
    context_tokens: int | None = None


@dataclass
class _Running:
    sequence: OnnxSequence
    slot: Slot


class OnnxEngine:
    """Steps one prefill chunk and one token for every decoding sequence; see `edgewise.node.engine.Engine`.

    Resume is exact: the prompt is read on the same chunk grid and output ids are replayed by single-token calls, as
    they were generated. A cache kept from an earlier turn is reused in whole chunks only, for the same reason.
    """

    def __init__(
        self,
        manifest: Manifest,
        graph: OnnxGraph,
        options: EngineOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options or EngineOptions()
        self._manifest = manifest
        self._graph = graph
        self._clock = clock
        capacity = min(manifest.context_tokens, self._options.context_tokens or manifest.context_tokens)
        self._slots = Slots(graph, count=self._options.slots, capacity=capacity, chunk=self._options.chunk)
        self._waiting: dict[str, GenerationState] = {}
        self._running: dict[str, _Running] = {}
        self._numerics_id = f"{kernel_id()}/{_graph_digest(manifest)[:16]}/chunk{self._options.chunk}"
        self._prompt_tokens = self._output_tokens = self._reused_tokens = 0
        self._speed: deque[tuple[int, float]] = deque(maxlen=_SPEED_STEPS)
        self._admitted: tuple[str, ...] = ()

    @classmethod
    def load(cls, directory: Path, options: EngineOptions | None = None, *, verify: bool = True) -> OnnxEngine:
        """Load a model directory. Raises ModelMissingError, ModelDigestError, ManifestError."""
        options = options or EngineOptions()
        manifest = load_manifest(directory, verify=verify)
        graph = OnnxGraph(directory / _graph_file(manifest, directory), options.threads)
        return cls(manifest, graph, options)

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def numerics_id(self) -> str:
        """Library, provider, vector extensions, graph digest and chunk grid; threads were measured to change no bit."""
        return self._numerics_id

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
        self._waiting[attempt] = state

    def step(self) -> list[StepOutput]:
        self._admit()
        return [*self._prefill_next(), *self._decode_all()]

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
            admitted=self._admitted,
        )

    def check_integrity(self) -> None:
        """Every row is free or runs one sequence, and free rows keep what they claim. Raises AssertionError."""
        assert len(self._running) <= len(self._slots), "more sequences than rows"
        assert all(running.slot.busy for running in self._running.values()), "a running sequence has no row"
        self._slots.check_integrity()

    def _check(self, state: GenerationState) -> None:
        used = len(state.prompt_ids) + len(state.output_ids)
        if used > self._slots.capacity or not state.prompt_ids:
            raise MessageTooLongError(
                f"The conversation has {used} tokens",
                where="edge engine",
                expected=f"1 to {self._slots.capacity} tokens for {self._manifest.name} on this device",
                remedy="shorten the messages, or let the cloud answer",
            )
        if state.grammar is not None:
            raise _unsupported("a grammar", "no grammar: this runtime has no constrained decoding", "leave it out")
        vocab = self._graph.shape.vocab
        check_sampling(state.sampling, vocab)
        if not all(0 <= token < vocab for token in (*state.prompt_ids, *state.output_ids)):
            raise _unsupported("these token ids", f"ids 0 to {vocab - 1}", "use this model's tokenizer")

    def _admit(self) -> None:
        self._admitted = ()
        for attempt, state in list(self._waiting.items()):
            taken = self._slots.take(state)
            if taken is None:
                return
            slot, row = taken
            del self._waiting[attempt]
            eos = frozenset(state.eos_ids or self._manifest.eos_ids)
            self._reused_tokens += row.length
            sequence = OnnxSequence(attempt, state, row, chunk=self._options.chunk, eos=eos)
            self._running[attempt] = _Running(sequence, slot)
            self._admitted += (attempt,)

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
            sequence = running.sequence
            self._slots.give_back(running.slot, sequence.state.prompt_ids[: sequence.chunked_tokens])


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
