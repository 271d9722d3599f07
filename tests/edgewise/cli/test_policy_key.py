"""`edgewise policy key`, and the policy column of `edgewise nodes list`."""

from __future__ import annotations

import json

import pytest

from tests.edgewise.cli.conftest import Command
from tests.edgewise.cli.fake_api import FakeApi

KEY = {
    "key_id": "ed25519-0123456789abcdef",
    "public_key": "ed25519:AAAA",
    "bundles": [
        {
            "version": 1777896000,
            "policy_version": 4,
            "digest": "ab" * 32,
            "issued_at": "2026-05-04T12:00:00Z",
            "not_after": "2026-06-03T12:00:00Z",
        }
    ],
}
NODE = {
    "node_id": "edge-0",
    "kind": "edge",
    "models": [],
    "load": {"running": 0, "slots": 1},
    "tenant": "acme",
    "labels": {},
}


def test_the_key_and_what_is_offered(api: FakeApi, command: Command) -> None:
    api.json("GET", "/admin/v1/policy-key", KEY)
    shown = command("policy", "key").out
    assert shown.startswith("ed25519:AAAA   (ed25519-0123456789abcdef)\n")
    assert "1777896000" in shown and "abababababab" in shown
    assert json.loads(command("policy", "key", "--json").out) == KEY


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"applied": True, "policy_version": 4, "refusal": ""}, "version 4"),
        ({"applied": True, "policy_version": 0, "refusal": ""}, "abababababab"),
        ({"applied": False, "policy_version": 4, "refusal": "expired"}, "version 4 refused: expired"),
    ],
)
def test_the_fleet_shows_which_policy_a_device_holds(
    api: FakeApi, command: Command, held: dict[str, object], words: str
) -> None:
    policy = {"digest": "ab" * 32, "version": 9, "error": "why"} | held
    api.json("GET", "/admin/v1/nodes", {"items": [NODE | {"policy": policy}, NODE | {"policy": None}], "away": []})
    assert words in command("nodes", "list").out
