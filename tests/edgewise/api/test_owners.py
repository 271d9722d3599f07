"""Salts: one for each key of a tenant, made by whoever answers, and telling nobody whose they are. Ranks likewise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.api.host import Caller
from edgewise.api.owners import SECRET_BYTES, Owners
from edgewise.generation.state import SALT_MAX_BYTES
from policies import Decision, Mode, Terms
from tests.edgewise.api.conftest import Api

OWNERS = Owners(bytes(SECRET_BYTES))
NAMES = st.text(max_size=8)


@given(mine=st.tuples(NAMES, NAMES), others=st.tuples(NAMES, NAMES))
def test_keys_and_tenants_never_share_a_salt(mine: tuple[str, str], others: tuple[str, str]) -> None:
    """Nor do ("ab", "c") and ("a", "bc")."""
    first, second = (OWNERS.salt(Caller(key, tenant, "free")) for tenant, key in (mine, others))
    assert (first == second) == (mine == others)
    assert len(first) <= SALT_MAX_BYTES


@given(tenants=st.tuples(NAMES, NAMES), keys=st.tuples(NAMES, NAMES))
def test_the_keys_of_a_tenant_share_its_place_in_queues_and_no_others(
    tenants: tuple[str, str], keys: tuple[str, str]
) -> None:
    first, second = (Caller(key, tenant, "free") for tenant, key in zip(tenants, keys, strict=True))
    assert (OWNERS.tenant(first) == OWNERS.tenant(second)) == (first.tenant == second.tenant)
    assert OWNERS.tenant(first) not in {OWNERS.salt(first), OWNERS.salt(second)}


def test_what_a_caller_is_beside_its_key_changes_no_salt() -> None:
    assert OWNERS.salt(Caller("k", "t", "free")) == OWNERS.salt(Caller("k", "t", "premium", "phone"))


def test_without_the_secret_nobody_can_try_out_whose_salt_it_is() -> None:
    caller = Caller("k", "t", "free")
    assert len({owners.salt(caller) for owners in (OWNERS, Owners.of_this_process(), Owners.of_this_process())}) == 3


def test_a_secret_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="31 bytes"):
        Owners(bytes(SECRET_BYTES - 1))


@pytest.mark.parametrize(
    ("user_tier", "priority", "rank"),
    [("free", None, -1), ("standard", None, 0), ("premium", None, 1), ("free", 10, 9), ("premium", -10, -9)],
)
@pytest.mark.parametrize("wish", [{}, {"rank": 9, "priority": 9, "tenant": "x"}, {"service_tier": "priority"}])
async def test_a_rank_comes_of_the_key_and_the_policy_whatever_the_request_says(
    api: Api, wish: dict[str, object], user_tier: str, priority: int | None, rank: int
) -> None:
    api.host.decision = Decision(mode=Mode.CLOUD, rule_id="r", reason="", terms=Terms(priority=priority))
    header = await api.service.begin(Caller("key-1", "t", user_tier), api.request(**wish))
    state = (await api.service.snapshot(header.sid)).state
    assert (state.rank, state.tenant) == (rank, b"t")


@pytest.mark.parametrize("wish", [{}, {"salt": "chosen"}, {"user": "another"}, {"state": {"salt": "x"}}])
async def test_the_salt_of_an_answer_is_the_hosts_whatever_the_request_says(api: Api, wish: dict[str, object]) -> None:
    caller = Caller("key-1", "t", "free")
    header = await api.service.begin(caller, api.request(**wish))
    snapshot = await api.service.snapshot(header.sid)
    assert snapshot.state.salt == api.host.salt(caller) == b"key-1"
