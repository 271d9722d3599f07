"""Registration at the gates: findings must be the version's own and hold; an override is possible and audited."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from edgewise.wire.findings import FINDINGS_FILE, AgreementFound, Findings
from edgewise.wire.manifest import FileEntry, Manifest, write_manifest
from tests.factories.admin import Admin
from tests.factories.findings import cells, findings

URL = "/admin/v1/models"


def version(found: Findings | None, **changes: Any) -> Manifest:
    """A manifest that lists these findings."""
    raw = found.canonical() if found else b""
    files = {FINDINGS_FILE: FileEntry(hashlib.sha256(raw).hexdigest(), len(raw))} if found else {}
    values: dict[str, Any] = {
        "name": "tiny-edge",
        "tier": "edge",
        "format": "onnx",
        "context_tokens": 64,
        "eos_ids": (1,),
        "files": {"model.onnx": FileEntry("a" * 64, 5), **files},
        "weights_digest": "a" * 64,
        "tokenizer_digest": "b" * 64,
        "template_digest": "c" * 64,
    }
    return Manifest(**(values | changes))


def body(manifest: Manifest, found: Findings | None, **more: Any) -> dict[str, Any]:
    sent = {"findings": found.canonical().decode()} if found else {}
    return {"manifest": msgspec.to_builtins(manifest), "card": "# A card"} | sent | more


async def send(
    admin: Admin, found: Findings | None, more: dict[str, Any] | None = None, **changes: Any
) -> httpx.Response:
    return await admin.client.post(URL, json=body(version(found, **changes), found, **(more or {})))


BAD = findings(agreement=(AgreementFound("en", 99, 100), AgreementFound("zh", 90, 100)))


async def test_a_version_that_passes_is_registered_with_its_findings(admin: Admin) -> None:
    made = await send(admin, findings())
    assert (made.status_code, made.json()["gates"]) == (201, "passed")
    whole = (await admin.client.get(f"{URL}/{made.json()['id']}")).json()
    assert whole["findings"] == msgspec.json.decode(findings().canonical())


async def test_a_version_that_fails_is_refused_with_the_reasons(admin: Admin) -> None:
    answer = await send(admin, BAD)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "gate_failed")
    assert "agreement with the parent (zh): wanted >= 0.95, found 0.9000, short by 0.0500" in error["message"]
    assert admin.catalog.versions() == []


async def test_an_operator_may_override_and_the_reason_is_audited(admin: Admin) -> None:
    made = await send(admin, BAD, {"override": "a trial on two phones"})
    assert (made.status_code, made.json()["gates"]) == (201, "overridden")
    (entry,) = await admin.audit.page(action="model.override")
    assert (entry.target, entry.before, entry.after) == ("model/tiny-edge", made.json()["id"], "a trial on two phones")
    again = await send(admin, BAD)
    assert (again.status_code, again.json()["gates"]) == (201, "overridden")


async def test_an_override_of_what_passes_is_none(admin: Admin) -> None:
    made = await send(admin, findings(), {"override": "to be safe"})
    assert made.json()["gates"] == "passed"
    assert await admin.audit.page(action="model.override") == []


async def test_the_registered_parent_counts(admin: Admin) -> None:
    first = findings(parent=None, agreement=(), cells=cells(100, 9.0))
    parent = (await send(admin, first, name="older")).json()["id"]
    answer = await send(admin, findings(cells=cells(90)), parent=parent)
    assert "share of the parent's accuracy (en): wanted >= 0.95, found 0.9000" in answer.json()["error"]["message"]
    assert (await send(admin, findings(cells=cells(96)), parent=parent)).json()["gates"] == "passed"


ODD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"findings": findings(notes="other").canonical().decode()}, {}, "are not those of this version"),
    ({"findings": None}, {}, "its findings.json was not sent"),
    ({"card": None}, {}, "findings and no card"),
    ({}, {"weights_digest": "9" * 64}, "of another model: weights_digest differ"),
    ({"findings": None}, {"files": {}, "parent": "7" * 64}, "it has a parent and no findings"),
]


@pytest.mark.parametrize(("more", "changes", "said"), ODD)
async def test_what_does_not_belong_together_is_refused(
    admin: Admin, more: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    answer = await send(admin, findings(), more, **changes)
    assert answer.status_code == 422
    assert said in answer.json()["error"]["message"]
    assert admin.catalog.versions() == []


async def test_a_parent_that_nobody_judged_is_said(admin: Admin) -> None:
    answer = await send(admin, findings(parent=None, agreement=()), parent="7" * 64)
    assert "version 777777777777… has none here" in answer.json()["error"]["message"]


async def test_a_version_without_findings_and_parent_is_unjudged(admin: Admin) -> None:
    assert (await send(admin, None)).json()["gates"] == "unjudged"


async def test_findings_that_tell_of_no_answers_pass_nothing(admin: Admin) -> None:
    """Those of an export: how near the graph is to its weights, and no examination."""
    exported = findings(cells=(), accepted=(), agreement=(), parent=None)
    assert (await send(admin, exported)).json()["gates"] == "unjudged"


async def test_a_directory_of_the_configuration_is_registered_and_marked(
    admin: Admin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"12345")
    (tmp_path / "CARD.md").write_text("# A card")
    (tmp_path / FINDINGS_FILE).write_bytes(BAD.canonical())
    write_manifest(tmp_path, version(BAD))
    row = await admin.catalog.register_directory(tmp_path)
    assert row.gates == "configured"
    assert "short by 0.0500" in caplog.text


@pytest.mark.parametrize("around", [b"%b", b'{"manifest": %b}'])
async def test_a_manifest_that_is_nested_without_end_is_refused(admin: Admin, around: bytes) -> None:
    deep = around % (b'{"name": "a", "x": ' + b"[" * 400_000 + b"]" * 400_000 + b"}")
    refused = await admin.client.post(URL, content=deep, headers={"content-type": "application/json"})
    assert refused.status_code == 422
