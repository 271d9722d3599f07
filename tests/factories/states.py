"""Generation states for tests: everything defaulted, every field can be overridden."""

from __future__ import annotations

from typing import Any

from edgewise.generation.state import GenerationState, Sampling

GREEDY = Sampling(temperature=0.0)


def make_state(**fields: Any) -> GenerationState:
    """A small greedy generation; keyword arguments replace fields."""
    given: dict[str, Any] = {
        "prompt_ids": (5, 6, 7),
        "messages": (),
        "model": "tiny",
        "max_tokens": 16,
        "seed": 1,
        "sampling": GREEDY,
    }
    return GenerationState(**(given | fields))
