"""Idle nodes read popular prompts, once; busy, foreign and failing ones are left alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from control_plane.caches.popular import PopularPrompts
from control_plane.caches.warmer import AGAIN_AFTER_S, PROMPTS_PER_NODE, Warmer
from edgewise.api.host import Family
from edgewise.dialects.chat import ChatMessage
from edgewise.generation.state import Message
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.tier import Capabilities, Load, TierKind
from tests.control_plane.caches.test_popular import ask, text
from tests.factories.tokenizers import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
FAMILY = Family("edgewise", TOKENIZER, 1024)


class FakeNode(ScriptedTier):
    def __init__(self, kind: TierKind, tenant: str = "t", digest: str | None = None, script: Script | None = None):
        capabilities = Capabilities(models=("m",), tokenizer_digest=TOKENIZER.digest if digest is None else digest)
        super().__init__(f"{kind}:node", kind, script or Script(), capabilities)
        self.node_id, self.tenant, self.running, self.here = f"{kind}-node", tenant, 0, True

    def load(self) -> Load:
        return Load(running=self.running)


@dataclass
class World:
    nodes: list[FakeNode]
    popular: PopularPrompts = field(default_factory=PopularPrompts)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.warmer = Warmer(self.popular, self, lambda model: FAMILY, clock=lambda: self.now)

    def tiers(self, kind: TierKind) -> list[FakeNode]:
        return [node for node in self.nodes if node.kind == kind]

    def get(self, node_id: str) -> FakeNode | None:
        return next((node for node in self.nodes if node.node_id == node_id and node.here), None)


async def test_an_idle_node_reads_each_popular_prompt_once() -> None:
    world = World([FakeNode("cloud")])
    ask(world.popular, "a", times=3)
    ask(world.popular, "b", times=2)
    assert await world.warmer.warm() == 2
    assert await world.warmer.warm() == 0
    states = world.nodes[0].states
    assert [state.messages[0].content for state in states] == [text("a"), text("b")]
    assert {state.max_tokens for state in states} == {1}
    world.now = AGAIN_AFTER_S
    assert await world.warmer.warm() == 2


async def test_what_is_read_is_the_beginning_of_what_will_be_asked() -> None:
    world = World([FakeNode("cloud")])
    ask(world.popular, "a", times=2)
    await world.warmer.warm()
    read = world.nodes[0].states[0]
    asked = TOKENIZER.encode_chat((read.messages[0], Message("user", "What is it?")))
    shared = next(place for place, pair in enumerate(zip(read.prompt_ids, asked, strict=False)) if len(set(pair)) > 1)
    assert shared > len(TOKENIZER.encode(text("a")))


async def test_a_prompt_is_read_for_the_owner_who_asks_with_it() -> None:
    world = World([FakeNode("cloud")])
    for salt in (b"one", b"two"):
        ask(world.popular, "a", salt=salt, times=2)
    assert await world.warmer.warm() == 2
    assert {state.salt for state in world.nodes[0].states} == {b"one", b"two"}


async def test_a_few_prompts_a_node_are_enough() -> None:
    world = World([FakeNode("cloud")])
    for number in range(PROMPTS_PER_NODE + 3):
        ask(world.popular, chr(ord("a") + number), times=2)
    assert await world.warmer.warm() == PROMPTS_PER_NODE


async def test_a_busy_node_is_left_alone() -> None:
    world = World([FakeNode("cloud")])
    ask(world.popular, "a", times=2)
    world.nodes[0].running = 1
    assert await world.warmer.warm() == 0
    assert world.nodes[0].states == []


async def test_a_node_of_another_gateway_is_left_to_it() -> None:
    world = World([FakeNode("cloud")])
    ask(world.popular, "a", times=2)
    world.nodes[0].here = False
    assert await world.warmer.warm() == 0


async def test_a_device_reads_only_what_its_tenant_asks() -> None:
    world = World([FakeNode("edge", tenant="other"), FakeNode("cloud", tenant="other")])
    ask(world.popular, "a", tenant="t", times=2)
    await world.warmer.warm()
    assert (len(world.nodes[0].states), len(world.nodes[1].states)) == (0, 1)


@pytest.mark.parametrize(("model", "read"), [("edgewise", 1), ("m", 1), ("of-an-upstream", 0)])
async def test_a_node_reads_nothing_for_models_that_it_does_not_have(model: str, read: int) -> None:
    world = World([FakeNode("cloud")])
    for _ in range(2):
        world.popular.note("t", model, [ChatMessage("system", text("a")), ChatMessage("user", "hi")], salt=b"")
    assert await world.warmer.warm() == read


async def test_a_node_that_hangs_is_given_up() -> None:
    world = World([FakeNode("cloud", script=Script(hangs_at=0))])
    world.warmer = Warmer(world.popular, world, lambda model: FAMILY, within_s=0.01)
    ask(world.popular, "a", times=2)
    assert await world.warmer.warm() == 0


@pytest.mark.parametrize("node", [FakeNode("cloud", digest="another"), FakeNode("cloud", script=Script(fails_at=0))])
async def test_nodes_that_cannot_are_not_counted(node: FakeNode) -> None:
    world = World([node])
    ask(world.popular, "a", times=2)
    assert await world.warmer.warm() == 0
