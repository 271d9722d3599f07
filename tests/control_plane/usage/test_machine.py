"""Gateways that reserve, settle, die and repeat in any order: never beyond a limit, and nothing is lost in the end."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from edgewise.api.host import Caller
from edgewise.ids import new_id
from edgewise.routing.runner import Outcome
from edgewise.routing.tier import Usage
from edgewise.streams.entries import EndEntry, Entry, TierEntry, encode_entry
from edgewise.wire.errors import LimitsUnavailableError, RateLimitedError
from tests.control_plane.usage.snapshots import snapshot
from tests.control_plane.usage.worlds import Gateway, World, lose, open_world

T = TypeVar("T")
TENANT_TOKENS, DAY_TOKENS, RUNNING, PER_MINUTE = 900, 500, 6, 400
LIMITS = {
    "tokens_total": TENANT_TOKENS,
    "tokens_per_day": DAY_TOKENS,
    "concurrent": RUNNING,
    "tokens_per_minute": PER_MINUTE,
}
CALLERS = (Caller("ann", "acme", "free"), Caller("bob", "acme", "free"))
Picks = st.integers(min_value=0, max_value=10**6)


class UsageMachine(RuleBasedStateMachine):
    """`kind` and `url` are set by the test. The model: what each admitted answer took, and what it used."""

    kind, url = "memory", ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.folder = tempfile.TemporaryDirectory(prefix="ew-usage-")
        self.open: dict[str, tuple[int, int, Caller]] = {}
        self.used: dict[str, int] = {}
        self.days: dict[str, int] = {}
        self.admitted: list[tuple[int, str]] = []
        self.taken: dict[str, int] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.world: World = self.run(
            self.stack.enter_async_context(open_world(self.kind, Path(self.folder.name) / "world", self.url))
        )
        for _ in range(2):
            self.run(self.world.gateway())
        self.run(self.world.gateways[0].limit("tenant", "acme", **LIMITS))

    def gateway(self, pick: int) -> Gateway:
        return self.world.gateways[-1 - pick % 2]

    @rule(pick=Picks, prompt=st.integers(0, 60), most=st.integers(1, 120), caller=st.sampled_from(CALLERS))
    def reserve(self, pick: int, prompt: int, most: int, caller: Caller) -> None:
        sid = new_id()
        try:
            self.run(self.gateway(pick).begin(caller, prompt, most, sid))
        except (RateLimitedError, LimitsUnavailableError):
            return
        self.run(self._open_stream(sid, caller, prompt, most))
        self.open[sid] = (prompt, most, caller)
        self.days[sid] = self.world.clock.ms() // 86_400_000
        self.admitted.append((self.world.clock.ms(), sid))
        self.taken[sid] = prompt + most

    async def _open_stream(self, sid: str, caller: Caller, prompt: int, most: int) -> None:
        await self.world.log.create(sid, owner=caller.key_id, request=snapshot(sid, caller, prompt=prompt, most=most))
        await self.world.log.claim(sid, holder="h", lease_s=5, seen_epoch=0)

    @rule(picks=st.lists(Picks, min_size=2, max_size=6), most=st.integers(1, 120))
    def reserve_at_once(self, picks: list[int], most: int) -> None:
        """Several gateways in the same moment."""
        sids = [new_id() for _ in picks]
        tries = (
            self.gateway(pick).begin(CALLERS[pick % 2], 3, most, sid) for pick, sid in zip(picks, sids, strict=True)
        )

        async def together() -> list[Any]:
            return await asyncio.gather(*tries, return_exceptions=True)

        for pick, sid, outcome in zip(picks, sids, self.run(together()), strict=True):
            if isinstance(outcome, Exception):
                assert isinstance(outcome, RateLimitedError | LimitsUnavailableError)
                continue
            self.run(self._open_stream(sid, CALLERS[pick % 2], 3, most))
            self.open[sid] = (3, most, CALLERS[pick % 2])
            self.days[sid] = self.world.clock.ms() // 86_400_000
            self.admitted.append((self.world.clock.ms(), sid))
            self.taken[sid] = 3 + most

    @rule(pick=Picks, share=st.floats(0, 1), told=st.booleans())
    def end(self, pick: int, share: float, told: bool) -> None:
        """An answer ends; `told` by any gateway, or its gateway died in that moment and only the log knows."""
        if not self.open:
            return
        sid = sorted(self.open)[pick % len(self.open)]
        prompt, most, _ = self.open.pop(sid)
        said = int(most * share)
        entries: list[Entry] = [TierEntry("edge:e", "edge", "m", "", "chosen"), EndEntry("stop", prompt, said)]
        payloads = [encode_entry(entry) for entry in entries]
        self.run(self.world.log.append(sid, epoch=1, seq=0, payloads=payloads, end=True))
        self.used[sid] = self.taken[sid] = prompt + said
        if told:
            self.run(self._tell(self.gateway(pick), sid, Usage(prompt, said)))

    async def _tell(self, gateway: Gateway, sid: str, usage: Usage) -> None:
        gateway.meter.finished(sid, Outcome("stop", ["edge:e"], usage))
        await gateway.meter.drain(5)

    @rule(pick=Picks)
    def repeat(self, pick: int) -> None:
        """A reserve that was answered already is sent again."""
        if self.open:
            sid = sorted(self.open)[pick % len(self.open)]
            prompt, most, caller = self.open[sid]
            try:
                self.run(self.gateway(pick).begin(caller, prompt, most, sid))
            except LimitsUnavailableError:
                return

    @rule(pick=Picks)
    def write(self, pick: int) -> None:
        self.run(self.gateway(pick).ledger.flush())

    @rule(pick=Picks)
    def gateway_dies(self, pick: int) -> None:
        """What it had in memory is gone; another starts in its place."""
        self.run(self.world.gateway())

    @rule(pick=Picks)
    def sweep(self, pick: int) -> None:
        self.run(self._sweep(self.gateway(pick)))

    async def _sweep(self, gateway: Gateway) -> None:
        await gateway.sweep.sweep()
        await gateway.settled()

    @rule(pick=Picks)
    def load(self, pick: int) -> None:
        self.run(self.gateway(pick).loaded())

    @rule(seconds=st.sampled_from((1, 12, 45, 70, 7_000, 86_400)))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.pass_(seconds)

    @invariant()
    def never_beyond_a_limit(self) -> None:
        if not hasattr(self, "world"):
            return
        worst = {sid: prompt + most for sid, (prompt, most, _) in self.open.items()} | self.used
        assert sum(worst.values()) <= TENANT_TOKENS
        for day in set(self.days.values()):
            assert sum(tokens for sid, tokens in worst.items() if self.days[sid] == day) <= DAY_TOKENS
        assert len(self.open) <= RUNNING
        minute = [sid for at, sid in self.admitted if at > self.world.clock.ms() - 60_000]
        assert sum(self.taken[sid] for sid in minute) <= PER_MINUTE

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.run(self._nothing_leaks())
        finally:
            self.run(self.stack.aclose())
            self.loop.close()
            self.folder.cleanup()

    async def _nothing_leaks(self) -> None:
        """Everything ends, the sweep comes by, and spent is the sum of what was used, everywhere."""
        for sid, (prompt, _, _) in self.open.items():
            entries: list[Entry] = [TierEntry("edge:e", "edge", "m", "", "chosen"), EndEntry("stop", prompt, 1)]
            payloads = [encode_entry(entry) for entry in entries]
            await self.world.log.append(sid, epoch=1, seq=0, payloads=payloads, end=True)
            self.used[sid] = prompt + 1
        gateway = await self.world.gateway()
        for _ in range(3):
            self.world.clock.pass_(11)
            await self._sweep(gateway)
        assert (await self.world.spent(tenant="acme"))[0] == sum(self.used.values())
        await lose_nothing(gateway, sum(self.used.values()))


async def lose_nothing(gateway: Gateway, used: int) -> None:
    """The counters agree with the ledger, before and after they were built from it anew."""
    if used:
        assert await gateway.tokens("tenant", "acme", "acme") == (used, 0)
    await lose(gateway.world)
    with pytest.raises((LimitsUnavailableError, RateLimitedError)):
        await gateway.begin(CALLERS[0], TENANT_TOKENS, 1)
    await gateway.loaded()
    gateway.world.clock.pass_(4)
    await gateway.loaded()
    with pytest.raises(RateLimitedError):
        await gateway.begin(CALLERS[0], TENANT_TOKENS, 1)
    assert await gateway.tokens("tenant", "acme", "acme") == (used, 0)


def _settings(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def test_in_memory() -> None:
    run_state_machine_as_test(UsageMachine, settings=_settings(10, 30))


def test_in_valkey(valkey_server: Any) -> None:
    machine = type("ValkeyUsageMachine", (UsageMachine,), {"kind": "valkey", "url": valkey_server.url})
    run_state_machine_as_test(machine, settings=_settings(8, 25))


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_for_long(valkey_server: Any) -> None:
    machine = type("LongUsageMachine", (UsageMachine,), {"kind": "valkey", "url": valkey_server.url})
    run_state_machine_as_test(UsageMachine, settings=_settings(300, 60))
    run_state_machine_as_test(machine, settings=_settings(200, 60))
