"""Drives an engine by hand, as the driver thread would."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from edge_agent.runtime import OnnxEngine
from edgewise.generation.state import GenerationState, Sampling
from edgewise.node.engine import StepOutput

NO_EOS = (1_000_000,)


def state(
    prompt: int | tuple[int, ...] = 70, *, max_tokens: int = 24, seed: int = 5, temperature: float = 1.0, **more: Any
) -> GenerationState:
    """A state that ends by length; `prompt` is ids, or how many pseudo-random ones."""
    ids = prompt if isinstance(prompt, tuple) else prompt_of(prompt)
    base = GenerationState(
        prompt_ids=ids,
        messages=(),
        model="tiny-edge",
        max_tokens=max_tokens,
        seed=seed,
        eos_ids=NO_EOS,
        sampling=Sampling(temperature=temperature),
    )
    return msgspec.structs.replace(base, **more)


def prompt_of(length: int, seed: int = 1) -> tuple[int, ...]:
    numbers = random.Random(seed)
    return tuple(numbers.randrange(3, 258) for _ in range(length))


def run_all(engine: OnnxEngine, most_steps: int = 2000) -> dict[str, list[StepOutput]]:
    """Step until nothing runs or waits; outputs by attempt."""
    seen: dict[str, list[StepOutput]] = {}
    for _ in range(most_steps):
        for output in engine.step():
            seen.setdefault(output.attempt, []).append(output)
        engine.check_integrity()
        if not engine.stats().running and not engine.stats().queued:
            return seen
    raise AssertionError("the engine never came to rest")


def ids_of(outputs: list[StepOutput]) -> tuple[int, ...]:
    return tuple(token for output in outputs for token in output.ids)


def answer(engine: OnnxEngine, given: GenerationState) -> tuple[int, ...]:
    """All ids of one answer, those that the state began with included."""
    engine.submit("only", given)
    return given.output_ids + ids_of(run_all(engine)["only"])
