"""Which device may serve whom, which tiers a request may use, and what is recorded of it."""

from dataclasses import dataclass, field
from typing import Any, cast, get_args

import pytest

from control_plane.accounts.keyring import KeyRing, LiveKey, Principal
from control_plane.accounts.keys import UserTier, key_digest, new_key
from control_plane.answers.host import ControlHost
from control_plane.caches.popular import PopularPrompts
from control_plane.decisions.recorder import DecisionRecorder
from control_plane.decisions.records import Decided, Finished
from control_plane.nodes.registry import NodeRegistry
from control_plane.policy_admin.service import PolicyStore
from control_plane.policy_rollouts.director import Director
from edgewise.api.host import Admission, Caller
from edgewise.api.owners import Owners
from edgewise.dialects.chat import ChatMessage, ChatRequest, EdgewiseOptions
from edgewise.routing.runner import Outcome
from edgewise.routing.scripted import Script, ScriptedTier
from edgewise.routing.terms import USER_TIER_RANKS
from edgewise.routing.tier import Capabilities, TierKind, Usage
from edgewise.wire.errors import EdgewiseError, ForbiddenError, TierLostError, UnauthenticatedError
from policies import Decision, Mode, Terms
from policies.rollout import Share
from tests.control_plane.policy_rollouts.worlds import STAGES, facts, staged

CALLER = Caller("k", "t", "free")


class FakeNode(ScriptedTier):
    """A connected node as the registry gives it."""

    def __init__(self, node_id: str, kind: TierKind, shared: bool = False, model: str = "m", tenant: str = "t") -> None:
        super().__init__(f"{kind}:{node_id}", kind, Script(), Capabilities(models=(model,)))
        self.node_id = node_id
        self.tenant = tenant
        self.labels = {"shared": "true"} if shared else {}


@dataclass
class FakeRegistry:
    nodes: list[FakeNode] = field(default_factory=list)

    def tiers(self, kind: TierKind) -> list[FakeNode]:
        return [node for node in self.nodes if node.kind == kind]

    def device_facts(self, node_id: str) -> dict[str, Any]:
        return {"device.id": node_id, "device.present": any(node.node_id == node_id for node in self.nodes)}

    def cloud_facts(self) -> dict[str, Any]:
        return {"cloud.available": any(node.kind == "cloud" for node in self.nodes)}


@dataclass
class FakeRecorder:
    events: list[Decided | Finished] = field(default_factory=list)

    def decided(self, event: Decided) -> None:
        self.events.append(event)

    def finished(self, event: Finished) -> None:
        self.events.append(event)


@dataclass
class World:
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    recorder: FakeRecorder = field(default_factory=FakeRecorder)
    keyring: KeyRing = field(default_factory=KeyRing)
    upstreams: list[ScriptedTier] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    director: Director = field(default_factory=Director)
    owners: Owners | None = None
    popular: PopularPrompts | None = None

    @property
    def host(self) -> ControlHost:
        return ControlHost(
            keyring=self.keyring,
            registry=cast(NodeRegistry, self.registry),
            policies=cast(PolicyStore, None),
            recorder=cast(DecisionRecorder, self.recorder),
            families={},
            upstreams=self.upstreams,
            on_ended=self.ended.append,
            director=self.director,
            owners=self.owners,
            popular=self.popular,
        )


def request(device: str = "", model: str = "edgewise") -> ChatRequest:
    return ChatRequest(model=model, messages=[ChatMessage("user", "hi")], edgewise=EdgewiseOptions(device=device))


def edge_names(world: World, caller: Caller, wish: ChatRequest) -> list[str]:
    source = world.host.tiers(caller, model=wish.model, device=wish.edgewise.device)
    return [tier.name for tier in source("edge")]


def test_a_strangers_device_is_nobodys_cloud() -> None:
    world = World(FakeRegistry([FakeNode("private", "edge")]))
    assert edge_names(world, CALLER, request()) == []
    assert world.host.facts(CALLER, request())["device.present"] is False


def test_a_device_that_offers_itself_serves_everybody() -> None:
    world = World(FakeRegistry([FakeNode("private", "edge"), FakeNode("kiosk", "edge", shared=True)]))
    assert edge_names(world, CALLER, request()) == ["edge:kiosk"]
    assert world.host.facts(CALLER, request())["device.id"] == "kiosk"


def test_a_named_device_and_a_bound_key() -> None:
    world = World(FakeRegistry([FakeNode("a", "edge"), FakeNode("b", "edge")]))
    assert edge_names(world, CALLER, request("b")) == ["edge:b"]
    bound = Caller("k", "t", "free", "a")
    assert edge_names(world, bound, request()) == ["edge:a"]
    with pytest.raises(ForbiddenError, match="bound"):
        world.host.facts(bound, request("b"))


def test_workers_come_before_upstreams_and_a_model_name_narrows() -> None:
    upstream = ScriptedTier("cloud:up", "cloud", Script(), Capabilities(models=("big",)))
    world = World(FakeRegistry([FakeNode("w", "cloud", model="m")]), upstreams=[upstream])
    anything, big = (world.host.tiers(CALLER, model=model, device="") for model in ("edgewise", "big"))
    assert [tier.name for tier in anything("cloud")] == ["cloud:w", "cloud:up"]
    assert [tier.name for tier in big("cloud")] == ["cloud:up"]
    assert World(upstreams=[upstream]).host.facts(CALLER, request())["cloud.available"] is True


def test_contexts_belong_to_a_key_of_a_tenant_and_popular_prompts_are_counted_for_it() -> None:
    world, others = World(), (Caller("k", "t2", "free"), Caller("k2", "t", "free"))
    world.owners, world.popular = Owners(bytes(32)), PopularPrompts()
    host, salt = world.host, world.host.salt(CALLER)
    assert salt == host.salt(Caller(CALLER.key_id, CALLER.tenant, "premium", "phone"))
    assert salt not in {host.salt(other) for other in others}
    long = ChatRequest(model="edgewise", messages=[ChatMessage("system", "s" * 200), ChatMessage("user", "hi")])
    for caller in (CALLER, CALLER, *others):
        host.facts(caller, long)
    assert [prompt.salt for prompt in world.popular.top(9)] == [salt]


def test_keys_of_a_tenant_share_its_place_and_every_user_tier_has_a_rank() -> None:
    world = World()
    world.owners = Owners(bytes(32))
    same, other = Caller("k2", CALLER.tenant, "premium"), Caller(CALLER.key_id, "t2", "free")
    assert world.host.tenant(CALLER) == world.host.tenant(same) != world.host.tenant(other)
    assert set(USER_TIER_RANKS) == set(get_args(UserTier))


def test_authentication_needs_an_app_or_an_operator() -> None:
    world = World()
    keys = {role: new_key() for role in ("app", "node")}
    for role, key in keys.items():
        principal = Principal(role, "t", "premium", frozenset({role}), "phone")  # type: ignore[arg-type]
        world.keyring.add(LiveKey(key_digest(key), principal))
    assert world.host.authenticate(f"Bearer {keys['app']}") == Caller("app", "t", "premium", "phone")
    with pytest.raises(ForbiddenError):
        world.host.authenticate(f"Bearer {keys['node']}")
    with pytest.raises(UnauthenticatedError):
        world.host.authenticate("")


@pytest.mark.parametrize(
    ("finish", "status"),
    [
        ("stop", "done"),
        ("cancelled", "cancelled"),
        ("error", "failed"),
    ],
)
def test_what_is_recorded(finish: str, status: str) -> None:
    world = World()
    terms = Terms(max_tokens=9)
    decision = Decision(mode=Mode("edge"), rule_id="r", reason="why", fallback=(Mode("cloud"),), terms=terms)
    admission = Admission("sid", CALLER, "m", {"request.origin": "control_plane"}, decision)
    world.host.decided(admission)
    failures: list[EdgewiseError] = [TierLostError("gone")]
    world.host.finished(admission.sid, Outcome(finish, ["edge:a", "cloud:w"], Usage(3, 4), failures=failures))
    decided, finished = world.recorder.events
    assert isinstance(decided, Decided)
    assert (decided.rule, decided.fallbacks, decided.terms) == ("r", ("cloud",), {"max_tokens": 9})
    assert isinstance(finished, Finished)
    assert (finished.status, finished.tier, finished.completion_tokens) == (status, "cloud:w", 4)
    assert finished.error_code == ("tier_lost" if finish == "error" else "")
    assert world.ended == ["sid"]


def test_a_device_that_joins_later_is_seen_by_an_answer_that_waits() -> None:
    world = World()
    source = world.host.tiers(CALLER, model="edgewise", device="")
    assert source("edge") == []
    world.registry.nodes.append(FakeNode("kiosk", "edge", shared=True))
    assert [tier.name for tier in source("edge")] == ["edge:kiosk"]


@pytest.mark.parametrize("wish", ["", "theirs"])
def test_a_device_of_another_tenant_does_not_exist(wish: str) -> None:
    world = World(FakeRegistry([FakeNode("theirs", "edge", shared=True, tenant="other")]))
    assert edge_names(world, CALLER, request(wish)) == []
    assert world.host.facts(CALLER, request(wish))["device.present"] is False


def test_while_a_rollout_is_open_its_two_policies_decide_and_answers_are_measured() -> None:
    world = World(director=Director())
    world.director.stage(staged(0, stages=STAGES[1:]))
    known = facts("tablet-114")  # in the first tenth
    decision = world.host.decide(known)
    assert decision.policy_name == "new"
    world.host.decided(Admission("s", CALLER, "m", known, decision))
    world.host.finished("s", Outcome("error"))
    assert world.director.staged is not None
    assert world.director.staged.meter.totals().measures.candidate.share("errors") == Share(1, 1)
