"""What a device decides by: bundles that it accepts and keeps, every attack on them, and damage on its disk."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.policy_store import CURRENT, POLICY_KIND, PREVIOUS, PolicyStore
from edge_agent.policy_trust import KEPT_KEY, TrustedKeys, write_whole
from edgewise.signing import PublicKey
from edgewise.wire.errors import PolicyBundleError
from edgewise.wire.frames import PolicyOffer, TelemetryRecord
from policies.bundle import Refusal
from policies.bundle.envelope import seal, split
from policies.facts import typical_facts
from policies.library import seed_text
from tests.factories.bundles import ISSUED_AT_S, KEY, NOT_AFTER_S, SIGNER, STRANGER, named, offered, wrapped

NOW_S = ISSUED_AT_S + 86_400.0
FIRST, SECOND, THIRD = (offered(named(name), at) for at, name in enumerate(("first", "second", "third"), start=1))
ONLINE = typical_facts({"device.present": True, "device.online": True, "request.complexity": 0.9})


class Device:
    """The directory, clock and telemetry of one device; `start` is a restart of its agent, `running` the first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "policy"
        self.now_s = NOW_S
        self.records: list[TelemetryRecord] = []

    def start(self, *pinned: PublicKey) -> PolicyStore:
        trusted = TrustedKeys(self.directory, pinned)
        return PolicyStore(self.directory, seed_text(), trusted, record=self.records.append, now=lambda: self.now_s)

    @cached_property
    def running(self) -> PolicyStore:
        return self.start()


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def name(store: PolicyStore) -> str:
    return store.decide(ONLINE).policy_name


async def refused(store: PolicyStore, offer: PolicyOffer, key: str = KEY) -> PolicyBundleError:
    before = (store.digest, store.standing)
    with pytest.raises(PolicyBundleError) as raised:
        await store.take(offer, key)
    assert (store.digest, store.standing) == before
    assert raised.value.remedy and raised.value.where
    return raised.value


# What is accepted --------------------------------------------------------------------------------------------------


def test_a_new_device_decides_by_the_seed(device: Device) -> None:
    store = device.start()
    assert (name(store), store.standing, store.digest) == ("seed", "seed", "")
    assert not device.directory.exists()


async def test_an_offer_is_in_force_at_once_and_after_a_restart_offline(device: Device) -> None:
    store = device.start()
    await store.take(FIRST, KEY)
    assert (name(store), store.standing, store.digest) == ("first", "in-force", FIRST.digest)
    again = device.start()
    assert (name(again), again.digest) == ("first", FIRST.digest)
    assert again.decide(ONLINE) == store.decide(ONLINE)


async def test_the_same_offer_again_changes_nothing(device: Device) -> None:
    store = device.start()
    for offer in (FIRST, SECOND, SECOND):
        await store.take(offer, KEY)
    (device.directory / CURRENT).unlink()
    assert name(device.start()) == "first"


async def test_an_earlier_policy_comes_back_under_a_later_version(device: Device) -> None:
    store = device.start()
    for offer in (FIRST, SECOND, offered(named("first"), 3)):
        await store.take(offer, KEY)
    assert name(store) == name(device.start()) == "first"


# Attacks -----------------------------------------------------------------------------------------------------------


async def test_a_tampered_bundle_is_refused_wherever_it_was_changed(device: Device) -> None:
    store = device.start()
    await store.take(FIRST, KEY)
    for at in random.Random(1).sample(range(len(SECOND.bundle)), 40):
        changed = bytearray(SECOND.bundle)
        changed[at] ^= 1
        await refused(store, with_bytes(SECOND, bytes(changed)))


async def test_a_bundle_with_a_new_digest_but_the_old_signature_is_refused(device: Device) -> None:
    line, _, payload = SECOND.bundle.partition(b"\n")
    other = payload.replace(b'"name":"second"', b'"name":"sneaky"')
    fresh = split(seal(other, SIGNER))
    forged = line.replace(split(SECOND.bundle).digest.encode(), fresh.digest.encode()) + b"\n" + other
    error = await refused(device.start(), wrapped(forged))
    assert error.refusal == "bad-signature"


async def test_an_older_version_replayed_is_refused_also_after_a_restart(device: Device) -> None:
    store = device.start()
    for offer in (FIRST, SECOND):
        await store.take(offer, KEY)
    for each in (store, device.start()):
        error = await refused(each, FIRST)
        assert error.refusal == "older-version"


async def test_the_same_version_with_other_content_is_refused(device: Device) -> None:
    store = device.start()
    await store.take(FIRST, KEY)
    assert (await refused(store, offered(named("other"), 1))).refusal == "same-version-other-content"


async def test_a_bundle_of_another_key_is_refused_and_the_error_says_what_to_do(device: Device) -> None:
    store = device.start()
    await store.take(FIRST, KEY)
    for each in (store, device.start()):
        error = await refused(each, offered(named("theirs"), 9, signer=STRANGER), STRANGER.public.text)
        assert error.refusal == "bad-signature" and SIGNER.key_id in error.expected
        assert "EDGEWISE_AGENT_POLICY_KEYS" in error.remedy and KEPT_KEY in error.remedy


async def test_the_first_contact_counts_only_when_it_signed_what_it_offers(device: Device) -> None:
    store = device.start()
    await refused(store, FIRST, STRANGER.public.text)
    await refused(store, FIRST, "no key at all")
    assert not device.directory.exists()
    await store.take(FIRST, KEY)
    assert (device.directory / KEPT_KEY).read_text() == KEY


async def test_pinned_keys_stand_over_the_first_contact_and_the_kept_key(device: Device) -> None:
    await device.start().take(FIRST, KEY)
    store = device.start(STRANGER.public)
    assert store.standing == "lost"
    assert "EDGEWISE_AGENT_POLICY_KEYS" in (await refused(store, SECOND)).remedy
    await store.take(offered(named("theirs"), 1, signer=STRANGER), KEY)
    assert name(store) == name(device.start(STRANGER.public)) == "theirs"


async def test_a_key_is_replaced_while_both_are_pinned(device: Device) -> None:
    both = (SIGNER.public, STRANGER.public)
    store = device.start(*both)
    await store.take(FIRST, KEY)
    await store.take(offered(named("theirs"), 2, signer=STRANGER), STRANGER.public.text)
    assert name(device.start(*both)) == name(device.start(STRANGER.public)) == "theirs"


async def test_deleting_the_kept_key_makes_the_next_contact_the_first(device: Device) -> None:
    await device.start().take(FIRST, KEY)
    (device.directory / KEPT_KEY).unlink()
    store = device.start()
    assert store.standing == "lost"
    await store.take(offered(named("theirs"), 1, signer=STRANGER), STRANGER.public.text)
    assert name(store) == name(device.start()) == "theirs"


async def test_an_offer_that_names_another_digest_than_it_brings_is_refused(device: Device) -> None:
    error = await refused(device.start(), PolicyOffer(digest=SECOND.digest, version=1, bundle=FIRST.bundle))
    assert error.refusal == "digest-mismatch"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=300) | st.binary(max_size=60).map(lambda tail: SECOND.bundle[:200] + tail))
async def test_any_bytes_as_an_offer_are_refused_with_a_code_and_change_nothing(device: Device, raw: bytes) -> None:
    error = await refused(device.running, PolicyOffer(digest="d", version=1, bundle=raw))
    assert error.refusal in set(Refusal)


# Time --------------------------------------------------------------------------------------------------------------


async def test_an_expired_offer_is_refused(device: Device) -> None:
    device.now_s = NOT_AFTER_S + 1.0
    error = await refused(device.start(), FIRST)
    assert error.refusal == "expired" and "clock" in error.remedy


async def test_after_its_time_a_bundle_decides_safely_and_says_so_once(device: Device) -> None:
    store = device.start()
    await store.take(FIRST, KEY)
    device.now_s = NOT_AFTER_S + 1.0
    for each in (store, device.start()):
        decisions = [each.decide(ONLINE) for _ in range(3)]
        assert {(str(d.mode), d.rule_id) for d in decisions} == {("edge", "onError")}
        assert each.standing == "expired" and "has expired" in decisions[0].errors[0]
    told = [(record.kind, record.values["event"], record.values["version"]) for record in device.records]
    assert told == [(POLICY_KIND, "expired", 1)] * 2


async def test_a_renewed_bundle_ends_the_safe_decisions(device: Device) -> None:
    store = device.start()
    await store.take(offered(named("first"), 1, not_after_s=ISSUED_AT_S + 100_000), KEY)
    device.now_s = ISSUED_AT_S + 200_000.0
    assert store.decide(ONLINE).rule_id == "onError"
    await store.take(offered(named("first"), 2, issued_at_s=ISSUED_AT_S + 150_000), KEY)
    assert store.standing == "in-force" and store.decide(ONLINE).rule_id != "onError"


async def test_a_clock_that_was_set_back_before_the_issue_changes_nothing(device: Device) -> None:
    store = device.start()
    await store.take(FIRST, KEY)
    device.now_s = 0.0
    assert store.standing == "in-force" and name(store) == "first"
    late = offered(named("late"), 2, issued_at_s=1, not_after_s=ISSUED_AT_S - 1)
    assert (await refused(store, late)).refusal == "expired"


# The disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", FIRST.bundle[:-1], b"x" * (5 * 1024 * 1024)])
async def test_damage_falls_back_to_the_previous_bundle_and_then_to_safe_decisions(
    device: Device, damage: bytes
) -> None:
    store = device.start()
    for offer in (FIRST, SECOND):
        await store.take(offer, KEY)
    (device.directory / CURRENT).write_bytes(damage)
    assert name(device.start()) == "first"
    (device.directory / PREVIOUS).write_bytes(damage)
    lost = device.start()
    assert (lost.standing, lost.digest, str(lost.decide(ONLINE).mode)) == ("lost", "", "edge")
    assert "no kept policy bundle can be used" in lost.decide(ONLINE).errors[0]
    await lost.take(SECOND, KEY)
    assert name(lost) == name(device.start()) == "second"


async def test_a_damaged_kept_key_is_no_first_contact(device: Device) -> None:
    await device.start().take(FIRST, KEY)
    (device.directory / KEPT_KEY).write_bytes(b"\xff")
    store = device.start()
    assert store.standing == "lost"
    theirs = offered(named("theirs"), 9, signer=STRANGER)
    assert KEPT_KEY in (await refused(store, theirs, STRANGER.public.text)).remedy


class CrashError(BaseException):
    """The process ends here."""


def crashing(writes: int) -> Callable[[Path, bytes], None]:
    """A disk that takes this many files and leaves the next one half written beside its place."""
    left: Iterator[int] = iter(range(writes))

    def write(path: Path, content: bytes) -> None:
        if next(left, None) is None:
            path.with_name(f".{path.name}-half").write_bytes(content[: len(content) // 2])
            raise CrashError
        write_whole(path, content)

    return write


@pytest.mark.parametrize(("writes", "decides"), [(0, "second"), (1, "second"), (2, "third")])
async def test_a_crash_between_the_files_leaves_a_whole_bundle(device: Device, writes: int, decides: str) -> None:
    store = device.start()
    for offer in (FIRST, SECOND):
        await store.take(offer, KEY)
    dying = PolicyStore(
        device.directory, seed_text(), TrustedKeys(device.directory), now=lambda: NOW_S, write=crashing(writes)
    )
    if writes < 2:
        with pytest.raises(CrashError):
            await dying.take(THIRD, KEY)
    else:
        await dying.take(THIRD, KEY)
    again = device.start()
    assert (name(again), again.standing) == (decides, "in-force")
    await again.take(THIRD, KEY)
    assert name(device.start()) == "third"


async def test_a_disk_that_takes_nothing_costs_only_the_memory(device: Device) -> None:
    device.directory.write_text("a file where the directory should be")
    store = device.start()
    await store.take(FIRST, KEY)
    await store.take(SECOND, KEY)
    assert name(store) == "second"
    assert device.start().standing == "seed"


def with_bytes(offer: PolicyOffer, raw: bytes) -> PolicyOffer:
    return PolicyOffer(digest=offer.digest, version=offer.version, bundle=raw)
