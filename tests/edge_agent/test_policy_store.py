"""The kept policy: offered, kept, read back; damage on disk falls back step by step, a bad offer changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.policy_store import CURRENT, PREVIOUS, PolicyStore
from edgewise.wire.errors import PolicyInvalidError
from policies import Policy
from policies.library import seed_text

SEED = seed_text()


def named(name: str) -> tuple[str, str]:
    """(digest, text) of a policy of that name."""
    text = SEED.replace("name: seed", f"name: {name}")
    return Policy.load(text).digest, text


def store(path: Path) -> PolicyStore:
    return PolicyStore(path / "policy", SEED)


def test_a_new_device_decides_by_the_seed(tmp_path: Path) -> None:
    assert store(tmp_path).policy.name == "seed"
    assert not (tmp_path / "policy").exists()


async def test_an_offer_is_in_force_at_once_and_after_a_restart(tmp_path: Path) -> None:
    fresh = store(tmp_path)
    await fresh.take(*named("first"))
    assert fresh.policy.name == "first" and fresh.digest == named("first")[0]
    assert store(tmp_path).policy.name == "first"


async def test_the_same_offer_again_changes_nothing(tmp_path: Path) -> None:
    fresh = store(tmp_path)
    await fresh.take(*named("first"))
    await fresh.take(*named("second"))
    await fresh.take(*named("second"))
    (tmp_path / "policy" / CURRENT).unlink()
    assert store(tmp_path).policy.name == "first"


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b'{"digest":"x","text":"y"}', b"[1]"])
async def test_damage_falls_back_to_the_previous_one_and_then_to_the_seed(tmp_path: Path, damage: bytes) -> None:
    fresh = store(tmp_path)
    await fresh.take(*named("first"))
    await fresh.take(*named("second"))
    (tmp_path / "policy" / CURRENT).write_bytes(damage)
    assert store(tmp_path).policy.name == "first"
    (tmp_path / "policy" / PREVIOUS).write_bytes(damage)
    assert store(tmp_path).policy.name == "seed"


async def test_a_flipped_word_on_disk_is_noticed_by_the_digest(tmp_path: Path) -> None:
    fresh = store(tmp_path)
    await fresh.take(*named("first"))
    path = tmp_path / "policy" / CURRENT
    path.write_bytes(path.read_bytes().replace(b"default: 20.0", b"default: 21.0"))
    assert store(tmp_path).policy.name == "seed"


@pytest.mark.parametrize(
    ("digest", "text"),
    [
        ("0" * 64, SEED),
        (named("x")[0], "apiVersion: nonsense"),
        (named("x")[0], "{"),
        ("", SEED.replace("mode: edge, reason: personal", "mode: cloud, reason: personal")),
    ],
)
async def test_an_offer_that_cannot_be_used_is_refused_and_the_old_one_stays(
    tmp_path: Path, digest: str, text: str
) -> None:
    fresh = store(tmp_path)
    await fresh.take(*named("first"))
    with pytest.raises(PolicyInvalidError) as raised:
        await fresh.take(digest, text)
    assert raised.value.remedy
    assert fresh.policy.name == store(tmp_path).policy.name == "first"


async def test_a_disk_that_takes_nothing_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "policy").write_text("a file where the directory should be")
    fresh = store(tmp_path)
    await fresh.take(*named("first"))
    assert fresh.policy.name == "first"
    assert store(tmp_path).policy.name == "seed"
