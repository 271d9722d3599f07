"""EngineDriver: an engine as a Tier. Its thread steps; the event loop gets chunks, in order, at the pace allowed.

The first token goes out at once, later ones as they come, several in one chunk when the reader is slower. Sockets,
sessions and modes are not known here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

import msgspec

from edgewise.generation.grammar_masks import Grammars, open_grammars
from edgewise.generation.state import GenerationState
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.node.compiling import Compiling
from edgewise.node.emission import Emission
from edgewise.node.engine import Constrained, Engine, EngineStats, StepOutput
from edgewise.node.engine_thread import EngineThread, given_up_error
from edgewise.node.gathering import CallLater, Gathering
from edgewise.routing.tier import Capabilities, Chunk, Load, TierKind
from edgewise.wire.errors import ConflictError, EdgewiseError, ModelDigestError, TierLostError, TierRefusedError

AHEAD_TOKENS = 64
"""How far the engine runs ahead of a slow reader; a throttled one stays one token ahead."""
JOIN_S = 10.0


class EngineDriver:
    """Runs `engine` in one dedicated thread between `start` and `stop`; a Tier for everybody else.

    `throttle_tokens_per_s` limits each attempt, and with it the engine's work. At most `max_queue` attempts wait beyond
    the engine's slots. After failures that the engine cannot recover from, `healthy` is False and every attempt ends
    with TierLostError, and `given_up` is set. All methods belong to the event loop that called `start`.
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: ChatTokenizer,
        *,
        kind: TierKind,
        name: str,
        models: Sequence[str],
        throttle_tokens_per_s: float | None = None,
        max_queue: int = 64,
        clock: Callable[[], float] = time.monotonic,
        call_later: CallLater | None = None,
        join_s: float = JOIN_S,
    ) -> None:
        self._tokenizer, self._kind, self._name = tokenizer, kind, name
        self._max_queue, self._clock, self._call_later = max_queue, clock, call_later
        self._join_s = join_s
        self._interval_s = _interval(throttle_tokens_per_s)
        self._emissions: dict[str, Emission] = {}
        self._gathering = Gathering(lambda attempts: self._thread.submit_all(attempts))
        self._loop: asyncio.AbstractEventLoop | None = None
        self.given_up = asyncio.Event()
        self._reported_at = clock()
        grammars = _given_grammars(engine, tokenizer)
        self._compiling = Compiling(grammars, self._gathering.put, lambda name, error: self._fail((name,), error))
        self._capabilities = _capabilities(engine, tokenizer, models, grammars=grammars is not None)
        self._thread = EngineThread(engine, self, name=name, ahead_tokens=self._ahead_tokens(), clock=clock)

    @property
    def name(self) -> str:
        return self._name

    @property
    def kind(self) -> TierKind:
        return self._kind

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def healthy(self) -> bool:
        """False once the engine was given up."""
        return self._thread.healthy

    async def start(self) -> None:
        """Start the thread; attempts are accepted from here on."""
        self._loop = asyncio.get_running_loop()
        self._call_later = self._call_later or self._loop.call_later
        self._thread.start()

    async def stop(self) -> bool:
        """End every attempt with TierLostError and wait for the thread (`join_s` at most, for a step that hangs);
        whether it has ended."""
        self._loop = None
        for emission in self._emissions.values():
            emission.fail(TierLostError("The tier is shutting down", remedy="another tier may continue the answer"))
        self._compiling.close()
        self._thread.stop()
        return await asyncio.to_thread(self._thread.join, self._join_s)

    def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        """Continue `state`. The first step of the iterator submits; leaving it early cancels.

        A state without prompt ids, or with ids of another tokenizer and nothing said yet, is encoded here from its
        messages. Raises TierRefusedError (full, foreign output ids), TierLostError, TierError, ConflictError (the
        attempt's name is in use), and what the engine's `submit` raises. A grammar is compiled in another
        thread before the engine hears of it.
        """
        return self._generate(state, attempt)

    async def cancel(self, attempt: str) -> None:
        """End an attempt now: its iterator stops, the engine forgets it. Unknown attempts are ignored."""
        if known := self._emissions.get(attempt):
            known.cancel()
            self._forget(attempt)

    def load(self) -> Load:
        """What runs now; `age_s` grows when a step does not come back."""
        stats = self._thread.stats
        waiting = max(0, len(self._emissions) - stats.running)
        age_s = max(0.0, self._clock() - self._reported_at) if self._emissions else 0.0
        return Load(stats.running, waiting, stats.slots, stats.tokens_per_s, age_s)

    def retune(self, throttle_tokens_per_s: float | None) -> None:
        """Change the pace of every attempt, running ones too; None lifts the limit."""
        self._interval_s = _interval(throttle_tokens_per_s)
        self._thread.allow_ahead(self._ahead_tokens())
        for emission in self._emissions.values():
            emission.pace(self._interval_s)

    @property
    def interval_s(self) -> float | None:
        """Seconds from token to token of an attempt; None where no pace is set."""
        return self._interval_s

    def run(self, command: Callable[[], object]) -> None:
        """Do something with the engine, in its thread, between two steps; before `start`, right after it."""
        self._thread.run(command)

    @property
    def stats(self) -> EngineStats:
        """The engine's own counters, after its last step."""
        return self._thread.stats

    def announce(self, seed: int, attempts: int) -> None:
        """So many attempts of one request are about to come: the engine gets them together, and reads a prompt once."""
        if self._call_later is not None:
            self._gathering.announce(seed, attempts, self._call_later)

    def came_out(self, outputs: Sequence[StepOutput]) -> None:
        """Report of the engine's thread: one wake-up of the loop for each step."""
        self._post(lambda: self._deliver(outputs))

    def admitted(self, attempts: Sequence[str], at: float) -> None:
        """Report of the engine's thread: these attempts have a slot since `at`. No wake-up: nobody waits for it."""
        for name in attempts:
            if emission := self._emissions.get(name):
                emission.admitted_at = at

    def failed(self, attempts: Sequence[str], error: EdgewiseError) -> None:
        """Report of the engine's thread: these attempts cannot go on."""
        self._post(lambda: self._fail(attempts, error))

    async def _generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        state = self._localised(state)
        emission = self._open(state, attempt)
        try:
            while not emission.cancelled:
                emission.changed.clear()
                chunk = emission.take(self._clock())
                if chunk is None:
                    await self._news(emission)
                    continue
                self._thread.taken(attempt, len(chunk.ids))
                yield chunk
                if chunk.finish:
                    return
        finally:
            if self._emissions.get(attempt) is emission:
                self._forget(attempt)

    def _open(self, state: GenerationState, attempt: str) -> Emission:
        self._check_room(attempt)
        emission = Emission(state, self._tokenizer, self._interval_s, opened_at=self._clock())
        self._emissions[attempt] = emission
        self._reported_at = self._clock() if len(self._emissions) == 1 else self._reported_at
        self._compiling.put(attempt, state)
        return emission

    def _check_room(self, attempt: str) -> None:
        if not self._thread.healthy:
            raise given_up_error()
        if self._loop is None:
            raise TierLostError(f"The tier {self._name} is not running", remedy="try another tier")
        if attempt in self._emissions:
            raise ConflictError(f"The attempt {attempt} runs already", where=self._name, expected="a new attempt id")
        if len(self._emissions) >= self._thread.stats.slots + self._max_queue:
            raise TierRefusedError(
                f"The queue of {self._name} is full", expected=f"at most {self._max_queue} waiting", retry_after_s=1.0
            )

    def _localised(self, state: GenerationState) -> GenerationState:
        """The state in this tier's own ids."""
        foreign = bool(state.tokenizer_digest) and state.tokenizer_digest != self._tokenizer.digest
        textual = bool(state.output_text) and not state.output_ids
        if textual or (foreign and state.output_ids):
            raise TierRefusedError(
                f"{self._name} cannot read the answer so far",
                expected=f"its ids by tokenizer {self._tokenizer.digest[:12]}…",
                remedy="continue on a tier of the same family",
            )
        if state.prompt_ids and not foreign:
            return state
        return msgspec.structs.replace(
            state,
            prompt_ids=self._tokenizer.encode_chat(state.messages),
            eos_ids=self._tokenizer.eos_ids,
            tokenizer_digest=self._tokenizer.digest,
            template_digest=self._tokenizer.template_digest,
        )

    async def _news(self, emission: Emission) -> None:
        """Wait until something changed or the next token may go out."""
        wait_s = emission.wait_s(self._clock())
        if wait_s is None or self._call_later is None:
            await emission.changed.wait()
            return
        timer = self._call_later(wait_s, emission.changed.set)
        try:
            await emission.changed.wait()
        finally:
            timer.cancel()

    def _deliver(self, outputs: Sequence[StepOutput]) -> None:
        self._reported_at = self._clock()
        for output in outputs:
            if emission := self._emissions.get(output.attempt):
                emission.put(output, self._reported_at)

    def _fail(self, attempts: Sequence[str], error: EdgewiseError) -> None:
        if not self.healthy:
            self.given_up.set()
        for name in attempts:
            if emission := self._emissions.get(name):
                emission.fail(error)

    def _forget(self, attempt: str) -> None:
        del self._emissions[attempt]
        self._compiling.drop(attempt)
        self._gathering.drop(attempt)
        self._thread.cancel(attempt)

    def _post(self, call: Callable[[], None]) -> None:
        """Run `call` in the loop; nobody listens any more once it is closed or the driver stopped."""
        with suppress(RuntimeError):
            if (loop := self._loop) is not None:
                loop.call_soon_threadsafe(call)

    def _ahead_tokens(self) -> int:
        return AHEAD_TOKENS if self._interval_s is None else 1


def _interval(tokens_per_s: float | None) -> float | None:
    return 1.0 / tokens_per_s if tokens_per_s else None


def _given_grammars(engine: Engine, tokenizer: ChatTokenizer) -> Grammars | None:
    """The engine's grammars, which need its tokens' bytes and are given to it here; None where it holds to none."""
    if not isinstance(engine, Constrained):
        return None
    engine.grammars = open_grammars(tokenizer)
    return engine.grammars


def _capabilities(engine: Engine, tokenizer: ChatTokenizer, models: Sequence[str], *, grammars: bool) -> Capabilities:
    """What the tier can do. Raises ModelDigestError when the tokenizer cannot be that of the model."""
    manifest = engine.manifest
    if manifest.tokenizer_digest not in {"", tokenizer.digest}:
        raise ModelDigestError(
            f"The tokenizer is not the one of model {manifest.name}",
            expected=f"sha256 {manifest.tokenizer_digest[:12]}…, found {tokenizer.digest[:12]}…",
            remedy="load model and tokenizer from one directory",
        )
    if 0 < engine.vocab_size < tokenizer.vocab_size:
        raise ModelDigestError(
            f"The tokenizer knows ids up to {tokenizer.vocab_size - 1}, which model {manifest.name} does not",
            expected=f"at most {engine.vocab_size} ids",
            remedy="install the model version again, with the tokenizer that it was made with",
        )
    return Capabilities(
        models=tuple(models),
        model_version=manifest.id,
        tokenizer_digest=tokenizer.digest,
        template_digest=tokenizer.template_digest,
        numerics_id=engine.numerics_id,
        context_tokens=manifest.context_tokens,
        grammars=grammars,
    )
