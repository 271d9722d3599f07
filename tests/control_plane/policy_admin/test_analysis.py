"""Analysis over HTTP: findings of a draft, proofs of its invariants, and what two policies decide otherwise."""

from __future__ import annotations

import pytest

from control_plane.policy_admin.analysis import MAX_RULES, TOO_LARGE
from tests.control_plane.policy_admin.test_service import small
from tests.factories.admin import Admin

URL = "/admin/v1/policies"
LATE = """\
    - id: late
      when: request.complexity < 0.25
      decide: {mode: edge}
  default:"""


def many_rules(count: int) -> str:
    """A document with this many rules."""
    rules = "".join(
        f"    - id: r{number}\n      when: request.turns == {number}\n      decide: {{mode: edge}}\n"
        for number in range(count - 1)
    )
    return small("many").replace("  rules:\n", f"  rules:\n{rules}")


async def test_validating_tells_what_is_odd_with_facts_that_show_it(admin: Admin) -> None:
    text = small("odd").replace("  default:", LATE)
    found = (await admin.client.post(f"{URL}/validate", json={"text": text})).json()
    codes = {finding["code"]: finding for finding in found["findings"]}
    assert set(codes) == {"rule-shadowed", "invariant-broken"}
    late = codes["rule-shadowed"]
    assert (late["rule_id"], late["line"], late["facts"]) == ("late", 10, None)
    assert codes["invariant-broken"]["facts"]["request.sensitivity"] in {"personal", "secret"}
    assert [(proof["result"], proof["rule_id"]) for proof in found["proofs"]] == [("refuted", "default")]
    assert found["analysis_skipped"] == ""


async def test_the_policy_in_force_keeps_its_invariants(admin: Admin) -> None:
    text = (await admin.client.get(f"{URL}/active/text")).text
    found = (await admin.client.post(f"{URL}/validate", json={"text": text})).json()
    assert found["findings"] == []
    assert {proof["result"] for proof in found["proofs"]} == {"proved"}


async def test_a_large_document_is_not_analysed_and_told_so(admin: Admin) -> None:
    large = {"text": many_rules(MAX_RULES + 1)}
    found = (await admin.client.post(f"{URL}/validate", json=large)).json()
    assert (found["findings"], found["proofs"], found["analysis_skipped"]) == ([], [], TOO_LARGE)
    found = (await admin.client.post(f"{URL}/diff", json={"new": large})).json()
    assert (found["same"], found["changes"], found["analysis_skipped"]) == (None, [], TOO_LARGE)
    assert found["text"]


async def test_two_texts_are_compared_by_what_they_decide(admin: Admin) -> None:
    new = small("two").replace("< 0.5", "< 0.6")
    found = (await admin.client.post(f"{URL}/diff", json={"old": {"text": small("one")}, "new": {"text": new}})).json()
    assert "+metadata: {name: two}" in found["text"] and found["same"] is False
    for change in found["changes"]:
        assert (change["old_rule"], change["new_rule"]) == ("default", "only")
        assert 0.5 <= change["facts"]["request.complexity"] < 0.6
    modes = {(change["old"]["mode"], change["new"]["mode"]) for change in found["changes"]}
    assert modes == {("cloud", "edge"), ("refuse", "edge")}


async def test_another_spelling_is_proved_to_be_the_same(admin: Admin) -> None:
    new = small("one").replace("request.complexity < 0.5", "'!(request.complexity >= 0.5)'")
    found = (await admin.client.post(f"{URL}/diff", json={"old": {"text": small("one")}, "new": {"text": new}})).json()
    assert (found["same"], found["changes"]) == (True, []) and found["text"]


async def test_what_is_left_out_is_the_policy_in_force(admin: Admin) -> None:
    found = (await admin.client.post(f"{URL}/diff", json={})).json()
    assert found == {"text": "", "same": True, "changes": [], "analysis_skipped": ""}
    found = (await admin.client.post(f"{URL}/diff", json={"old": {"version": 1}, "new": {"text": small("two")}})).json()
    assert found["changes"] and len((await admin.client.get(URL)).json()["items"]) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"old": {"version": 99}}, 404),
        ({"new": {"text": "x: 1"}}, 422),
        ({"new": {"text": "x: 1", "version": 1}}, 422),
        ({"newer": {}}, 422),
    ],
)
async def test_what_cannot_be_compared(admin: Admin, body: dict[str, object], status: int) -> None:
    assert (await admin.client.post(f"{URL}/diff", json=body)).status_code == status
