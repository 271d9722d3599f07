"""Warmer: has idle nodes read the most used system prompts, so that the next request with one begins behind it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from control_plane.answers.families import FAMILY_NAME
from control_plane.caches.popular import PopularPrompts, SystemPrompt
from edgewise.api.host import Family
from edgewise.generation.state import RANK_MAX, GenerationState, Message, Sampling
from edgewise.ids import new_id
from edgewise.routing.attempt import Attempt
from edgewise.routing.tier import Tier, TierKind
from edgewise.wire.errors import EdgewiseError

logger = logging.getLogger(__name__)
PROMPTS_PER_NODE = 4
WITHIN_S = 10.0
"""A node that takes longer to read one prompt is given up for this time."""
AGAIN_AFTER_S = 600.0
"""A node may have forgotten a prompt for newer ones; after this it is asked to read it again."""


class Node(Tier, Protocol):
    """A connected node as the registry gives it."""

    @property
    def node_id(self) -> str: ...
    @property
    def tenant(self) -> str: ...


class Nodes(Protocol):
    """The registry: every usable node, and those among them that are connected here."""

    def tiers(self, kind: TierKind) -> Sequence[Node]: ...
    def get(self, node_id: str) -> Node | None: ...


class Warmer:
    """Warms one prompt after another, and stops at once on a node that has got something better to do."""

    def __init__(
        self,
        popular: PopularPrompts,
        nodes: Nodes,
        family: Callable[[str], Family],
        *,
        within_s: float = WITHIN_S,
        clock: Callable[[], float] = time.monotonic,
        attempt_id: Callable[[], str] = new_id,
    ) -> None:
        self._popular = popular
        self._nodes = nodes
        self._family = family
        self._within_s = within_s
        self._clock = clock
        self._attempt_id = attempt_id
        self._warmed_at: dict[tuple[str, SystemPrompt], float] = {}

    async def warm(self) -> int:
        """Go round the idle nodes once; how many prompts were read."""
        self._forget_old()
        warmed = 0
        for node in self._nodes_here():
            for prompt in self._wanted(node):
                if not _is_idle(node) or not await self._read(node, prompt):
                    break
                self._warmed_at[node.name, prompt] = self._clock()
                warmed += 1
        return warmed

    def _nodes_here(self) -> Iterator[Node]:
        """The others are warmed by their own gateways."""
        for node in (*self._nodes.tiers("cloud"), *self._nodes.tiers("edge")):
            if here := self._nodes.get(node.node_id):
                yield here

    def _wanted(self, node: Node) -> list[SystemPrompt]:
        """A device reads what its own tenant asks, a cloud worker what anybody does; both only for models they have."""
        tenant = node.tenant if node.kind == "edge" else None
        top = self._popular.top(PROMPTS_PER_NODE, tenant=tenant)
        return [prompt for prompt in top if (node.name, prompt) not in self._warmed_at and self._serves(node, prompt)]

    def _serves(self, node: Node, prompt: SystemPrompt) -> bool:
        """The models of upstreams may share the tokenizer of a node that cannot answer for them."""
        family, able = self._family(prompt.model), node.capabilities
        has_model = prompt.model == FAMILY_NAME or prompt.model in able.models
        return has_model and family.tokenizer is not None and family.tokenizer.digest == able.tokenizer_digest

    async def _read(self, node: Node, prompt: SystemPrompt) -> bool:
        """Have a node read a prompt by asking for one token behind it; whether it did."""
        attempt = Attempt(node, self._state(prompt), self._attempt_id())
        try:
            while (await attempt.next(self._within_s)).finish is None:
                pass
        except EdgewiseError as error:
            logger.info("a node was not warmed: %s", error.info().code, extra={"node": node.node_id})
            return False
        finally:
            await attempt.abandon()
        return True

    def _state(self, prompt: SystemPrompt) -> GenerationState:
        tokenizer = self._family(prompt.model).tokenizer
        assert tokenizer is not None, "a prompt is warmed only where there is a tokenizer"
        messages = (Message("system", prompt.text), Message("user", "?"))
        return GenerationState(
            prompt_ids=tokenizer.encode_chat(messages),
            messages=messages,
            model=prompt.model,
            max_tokens=1,
            seed=0,
            sampling=Sampling(temperature=0.0),
            eos_ids=tokenizer.eos_ids,
            tokenizer_digest=tokenizer.digest,
            template_digest=tokenizer.template_digest,
            salt=prompt.salt,
            rank=-RANK_MAX,
        )

    def _forget_old(self) -> None:
        now = self._clock()
        self._warmed_at = {key: at for key, at in self._warmed_at.items() if now - at < AGAIN_AFTER_S}


def _is_idle(node: Node) -> bool:
    load = node.load()
    return not load.running and not load.queued
