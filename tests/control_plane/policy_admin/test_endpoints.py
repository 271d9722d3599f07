"""/admin/v1/policies over HTTP: the whole life of a policy, every problem at once, and malformed input."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.control_plane.policy_admin.test_service import small
from tests.factories.admin import Admin

URL = "/admin/v1/policies"
YAML = {"content-type": "text/yaml"}
FUZZ = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


async def test_from_saving_to_rolling_back(admin: Admin) -> None:
    made = await admin.client.post(URL, json={"text": small("two"), "note": "try it"})
    assert made.status_code == 201
    assert (made.json()["version"], made.json()["active"], made.json()["text"]) == (2, False, small("two"))
    diff = (await admin.client.get(f"{URL}/2/diff")).text
    assert "+metadata: {name: two}" in diff
    activated = await admin.client.post(f"{URL}/2/activate")
    assert activated.json() == {"version": 2, "digest": made.json()["digest"]}
    assert (await admin.client.get(f"{URL}/active")).json()["name"] == "two"
    listed = (await admin.client.get(URL)).json()
    assert [(item["version"], item["active"]) for item in listed["items"]] == [(2, True), (1, False)]
    rolled = await admin.client.post(f"{URL}/rollback", json={"expected_digest": made.json()["digest"]})
    assert rolled.json()["version"] == 1
    assert (await admin.client.post(f"{URL}/rollback")).status_code == 409


async def test_the_active_yaml_can_be_edited_and_sent_back_as_it_is(admin: Admin) -> None:
    text = (await admin.client.get(f"{URL}/active/text")).text
    made = await admin.client.post(f"{URL}?activate=true&note=中文", content="# 中文\n" + text, headers=YAML)
    assert made.status_code == 201, made.text
    assert (made.json()["active"], made.json()["note"]) == (True, "中文")
    assert (await admin.client.get(f"{URL}/active/text")).text.startswith("# 中文\n")


@pytest.mark.parametrize("path", [URL, f"{URL}/validate", f"{URL}?activate=true"])
async def test_an_invalid_policy_shows_every_problem_and_changes_nothing(admin: Admin, path: str) -> None:
    bad = small("bad").replace("request.complexity", "request.complexiti").replace("mode: cloud", "mode: clowd")
    answer = await admin.client.post(path, content=bad, headers=YAML)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "policy_invalid"
    problems = answer.json()["problems"]
    assert {(problem["line"], problem["column"]) for problem in problems} == {(8, 21), (10, 19)}
    assert any("request.complexity" in problem["suggestion"] for problem in problems)
    assert len((await admin.client.get(URL)).json()["items"]) == 1


async def test_validating_runs_the_documents_tests_and_saves_nothing(admin: Admin) -> None:
    text = (await admin.client.get(f"{URL}/active/text")).text
    answer = (await admin.client.post(f"{URL}/validate", json={"text": text})).json()
    assert answer["name"] == "seed"
    assert answer["tests"]
    assert all(test["passed"] for test in answer["tests"])
    assert len((await admin.client.get(URL)).json()["items"]) == 1


async def test_a_dry_run_explains_and_records_nothing(admin: Admin) -> None:
    facts = {"request.sensitivity": "secret", "request.origin": "device", "device.present": True}
    answer = (await admin.client.post(f"{URL}/active/explain", json={"facts": facts})).json()
    assert answer["decision"]["mode"] == "edge"
    assert answer["rules"]
    same = (await admin.client.post(f"{URL}/1/explain", json={"facts": facts})).json()
    assert same == answer
    assert (await admin.client.get("/admin/v1/decisions")).json()["items"] == []


async def test_somebody_elses_change_is_a_conflict(admin: Admin) -> None:
    await admin.client.post(URL, json={"text": small("two")})
    answer = await admin.client.post(f"{URL}/2/activate", json={"expected_digest": "sha256:other"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


async def test_an_unknown_version_is_not_found(admin: Admin) -> None:
    for path in ("/99", "/99/diff", "/1/diff?against=99"):
        answer = await admin.client.get(URL + path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), path


@pytest.mark.parametrize(
    "path", ["/0", "/-1", "/x", "/99999999999999999999", "/1.5", "?limit=0", "?after=0", "?limit=x"]
)
async def test_a_malformed_number_is_refused(admin: Admin, path: str) -> None:
    assert (await admin.client.get(URL + path)).status_code == 422


NO_POLICIES = [
    (b"{", "application/json", 400),
    (b"[]", "application/json", 400),
    (b'{"text": 1}', "application/json", 400),
    (b'{"text": ""}', "application/json", 400),
    (b'{"text": "\\ud800"}', "application/json", 400),
    (b'{"text": "x", "surprise": 1}', "application/json", 400),
    (b"\xff\xfe", "text/yaml", 400),
    (b"", "text/yaml", 400),
    (b"x: 1", "image/png", 400),
    (b"a: \0", "text/yaml", 422),
    (b"&a [*a]", "text/yaml", 422),
    (b"x" * (256 * 1024 + 1), "text/yaml", 413),
    (b"x" * (512 * 1024 + 1), "application/json", 413),
]


async def test_a_body_that_is_no_policy_is_refused(admin: Admin) -> None:
    for content, kind, status in NO_POLICIES:
        answer = await admin.client.post(URL, content=content, headers={"content-type": kind})
        assert answer.status_code == status, (content[:50], answer.text)
        assert answer.json()["error"]["message"]


@FUZZ
@given(body=st.binary(max_size=80) | st.text(max_size=80).map(lambda t: t.encode(errors="replace")))
async def test_no_yaml_breaks_it(admin: Admin, body: bytes) -> None:
    answer = await admin.client.post(URL, content=body, headers=YAML)
    assert 400 <= answer.status_code < 500


@FUZZ
@given(
    facts=st.dictionaries(
        st.sampled_from(["request.complexity", "request.sensitivity", "device.present", "device.rtt_ms"])
        | st.text(max_size=10),
        st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.none() | st.lists(st.integers()),
        max_size=4,
    )
)
async def test_no_facts_break_a_dry_run(admin: Admin, facts: dict[str, object]) -> None:
    answer = await admin.client.post(f"{URL}/active/explain", content=json.dumps({"facts": facts}))
    assert answer.status_code in {200, 422}, answer.text
