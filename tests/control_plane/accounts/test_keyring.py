"""Keys and the ring: their form, who gets in, and that nobody gets in after a revocation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.accounts.keyring import KeyRing, LiveKey, Principal
from control_plane.accounts.keys import is_key, key_digest, new_key, shown_prefix
from edgewise.wire.errors import ForbiddenError, UnauthenticatedError

KEY = "ek_" + "a1B" * 14 + "z"


def live(key: str = KEY, key_id: str = "k1", expires_at_s: float | None = None) -> LiveKey:
    return LiveKey(key_digest(key), Principal(key_id, "acme", "premium", frozenset({"app"}), "phone-7"), expires_at_s)


def test_a_new_key_is_256_bits_of_base62_and_never_the_same() -> None:
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(is_key(key) and len(key) == 46 for key in keys)
    assert 62**43 > 2**256


def test_lists_show_too_little_to_guess_the_rest() -> None:
    assert shown_prefix(KEY) == "ek_a1Ba1B"


@pytest.mark.parametrize("credentials", [KEY, f"Bearer {KEY}", f"bearer {KEY}", f"BEARER   {KEY} "])
def test_a_live_key_gets_in_as_header_or_bare(credentials: str) -> None:
    ring = KeyRing()
    ring.add(live())
    principal = ring.authenticate(credentials)
    assert (principal.key_id, principal.tenant, principal.user_tier, principal.device) == (
        "k1",
        "acme",
        "premium",
        "phone-7",
    )


@pytest.mark.parametrize(
    "credentials",
    [None, "", "Bearer", "Bearer ", "Basic " + KEY, KEY[:-1], KEY + "x", "Bearer é", "ek_" + "\0" * 43, new_key()],
)
def test_anything_else_stays_out_and_is_not_repeated(credentials: str | None) -> None:
    ring = KeyRing()
    ring.add(live())
    with pytest.raises(UnauthenticatedError) as caught:
        ring.authenticate(credentials)
    assert caught.value.remedy
    assert not credentials or len(credentials) < 10 or credentials not in str(caught.value)


@given(st.text())
def test_no_text_breaks_the_door(text: str) -> None:
    ring = KeyRing()
    ring.add(live())
    with pytest.raises(UnauthenticatedError):
        ring.authenticate(text)


def test_revocation_is_seen_at_once_and_told_once() -> None:
    ring, fallen = KeyRing(), list[str]()
    ring.add(live())
    stop = ring.on_revoked(fallen.append)
    ring.remove("k1")
    ring.remove("k1")
    with pytest.raises(UnauthenticatedError):
        ring.authenticate(KEY)
    assert not ring.is_live("k1")
    assert fallen == ["k1"]
    stop()
    ring.add(live())
    ring.remove("k1")
    assert fallen == ["k1"]


def test_a_key_ends_when_its_time_comes() -> None:
    now_s = [100.0]
    ring = KeyRing(now_s=lambda: now_s[0])
    ring.add(live(expires_at_s=101.0))
    assert ring.authenticate(KEY)
    assert ring.is_live("k1")
    now_s[0] = 101.0
    with pytest.raises(UnauthenticatedError, match="expired"):
        ring.authenticate(KEY)
    assert not ring.is_live("k1")


def test_replacing_tells_of_each_key_that_is_gone() -> None:
    ring, fallen = KeyRing(), list[str]()
    ring.on_revoked(fallen.append)
    other = new_key()
    ring.replace([[live()], [live(other, "k2")]])
    ring.replace([[live(other, "k2")], [live(new_key(), "k3")]])
    assert fallen == ["k1"]
    assert len(ring) == 2
    assert ring.authenticate(other).key_id == "k2"


def test_a_role_that_is_missing_is_named() -> None:
    principal = live().principal
    principal.require("operator", "app")
    assert principal.has("app")
    with pytest.raises(ForbiddenError, match="app") as caught:
        principal.require("operator")
    assert "operator" in caught.value.expected


def test_no_repr_holds_a_key() -> None:
    ring = KeyRing()
    ring.add(live())
    assert KEY not in repr((ring, live()))
