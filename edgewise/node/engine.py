"""The Engine shape: one for the torch worker and the ONNX edge runtime. An engine knows ids, never text or sockets."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from edgewise.generation.grammar_masks import Grammars
from edgewise.generation.probabilities import TokenProbability
from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Finish
from edgewise.wire.errors import EdgewiseError
from edgewise.wire.manifest import Manifest


class StepOutput(msgspec.Struct, frozen=True):
    """What one engine step did for one sequence: new ids in order, and `finish` on its last step.

    An end-of-sequence id is never among `ids`; it shows as finish `stop`. Stop strings are the driver's business.
    `error` ends the sequence too, and whoever asked is told of it as it is; the engine itself goes on. `probabilities`
    are there where the state asks for them and the engine can tell: one for each of `ids`, and one for an
    end-of-sequence id. `kv_bytes` are held for the sequence at this moment, what it shares with others among them; 0
    where nobody knows.
    """

    attempt: str
    ids: tuple[int, ...]
    finish: Finish | None = None
    error: EdgewiseError | None = None
    probabilities: tuple[TokenProbability, ...] = ()
    kv_bytes: int = 0


class EngineStats(msgspec.Struct, frozen=True):
    """Counters since start and what runs now; `admitted` names the attempts to which the last step gave a slot.

    `accepted` of the `drafted` tokens were what the model drew; both are 0 where nothing speculates. `reused_tokens`
    of prompts were not read again, because an earlier answer had left their rows. `promised_bytes` of memory may still
    be taken by those that run. `kv_capacity_bytes` is the most that `kv_bytes` can be; 0 where nobody knows.
    """

    running: int = 0
    queued: int = 0
    slots: int = 1
    prompt_tokens: int = 0
    output_tokens: int = 0
    tokens_per_s: float = 0.0
    kv_bytes: int = 0
    admitted: tuple[str, ...] = ()
    drafted: int = 0
    accepted: int = 0
    reused_tokens: int = 0
    promised_bytes: int = 0
    kv_capacity_bytes: int = 0


@runtime_checkable
class IdleWork(Protocol):
    """An engine that has work for quiet times. Called in the engine's thread while no attempt is there."""

    def idle_work(self) -> float | None:
        """Do a piece that nobody notices. Seconds after which to ask again; None for not before the next answer."""
        ...


@runtime_checkable
class Constrained(Protocol):
    """An engine that holds answers to grammars, once it has them: whoever drives it gives them before it runs."""

    grammars: Grammars | None


class Engine(Protocol):
    """A model that steps. Not thread-safe: the driver calls everything from one thread.

    Resume is a submit whose state has output ids: the engine replays them through the same path as decoding, so with
    the same `numerics_id` the next token is the one that the undisturbed run would have given.
    """

    @property
    def manifest(self) -> Manifest: ...

    @property
    def numerics_id(self) -> str:
        """Names everything that may change a logit's bits: runtime, dtype, kernels, chunk grid, row padding."""
        ...

    @property
    def vocab_size(self) -> int:
        """Ids that the model knows: a tokenizer with more of them is another model's. 0 where any id will do."""
        ...

    def submit(self, attempt: str, state: GenerationState) -> None:
        """Queue a sequence. Raises MessageTooLongError, TierRefusedError (queue full), UnsupportedParameterError,
        InvalidGrammarError."""
        ...

    def step(self) -> list[StepOutput]:
        """Do a little work (a prefill chunk, or the next tokens of each running sequence); empty when there is none."""
        ...

    def cancel(self, attempt: str) -> None:
        """Forget a sequence and free what it held; unknown attempts are ignored."""
        ...

    def stats(self) -> EngineStats: ...
