"""The catalogue: what is registered, and which offers of nodes are let in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.audit.service import AuditTrail
from control_plane.model_versions.service import ModelCatalog
from edgewise.wire.errors import ModelDigestError, ModelMissingError, UnknownModelError
from edgewise.wire.frames import ModelOffer
from edgewise.wire.manifest import Manifest, build_manifest, write_manifest
from tests.factories.admin import Admin

URL = "/admin/v1/models"
FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    for name in ("model.onnx", "tokenizer.json", "chat_template.jinja"):
        (directory / name).write_bytes(name.encode())
    return directory


@pytest.fixture
def manifest(model_dir: Path) -> Manifest:
    made = build_manifest(
        model_dir, name="tiny-edge", tier="edge", format="onnx", weights="model.onnx", context_tokens=512, eos_ids=(2,)
    )
    write_manifest(model_dir, made)
    return made


def offer(manifest: Manifest, **changes: Any) -> ModelOffer:
    values: dict[str, Any] = {
        "name": manifest.name,
        "version": manifest.id,
        "weights_digest": manifest.weights_digest,
        "tokenizer_digest": manifest.tokenizer_digest,
        "template_digest": manifest.template_digest,
    }
    return ModelOffer(**(values | changes))


async def test_a_directory_is_registered_under_its_public_name_once(
    admin: Admin, manifest: Manifest, model_dir: Path
) -> None:
    for _ in range(2):
        row = await admin.catalog.register_directory(model_dir, name="edgewise-edge")
    assert (row.id, row.name, row.directory) == (manifest.id, "edgewise-edge", str(model_dir))
    assert len(await admin.audit.page(action="model.register")) == 1
    again = ModelCatalog(admin.database, AuditTrail(admin.database))
    await again.load()
    assert [known.id for known in again.versions("edgewise-edge")] == [manifest.id]


async def test_a_directory_that_lacks_a_file_is_named(admin: Admin, manifest: Manifest, model_dir: Path) -> None:
    (model_dir / "model.onnx").unlink()
    with pytest.raises(ModelMissingError, match=r"model\.onnx"):
        await admin.catalog.register_directory(model_dir)
    with pytest.raises(ModelMissingError):
        await admin.catalog.register_directory(model_dir / "nowhere")


async def test_the_registered_model_is_let_in(admin: Admin, manifest: Manifest) -> None:
    await admin.catalog.register(manifest)
    admin.catalog.admit_models([offer(manifest)])
    newer = msgspec.structs.replace(manifest, recipe="longer training")
    await admin.catalog.register(newer)
    admin.catalog.admit_models([offer(manifest), offer(newer)])


@pytest.mark.parametrize("value", ["0" * 64, ""])
async def test_other_bytes_under_a_registered_name_are_refused_with_both_digests(
    admin: Admin, manifest: Manifest, value: str
) -> None:
    await admin.catalog.register(manifest)
    for field in ("version", "weights_digest", "tokenizer_digest", "template_digest"):
        with pytest.raises(ModelDigestError) as caught:
            admin.catalog.admit_models([offer(manifest, **{field: value})])
        registered = manifest.id if field == "version" else getattr(manifest, field)
        shown = f"{value[:12]}…" if value else "(none)"
        assert f"{field} {shown} instead of {registered[:12]}…" in caught.value.message
        assert caught.value.remedy


async def test_an_unregistered_name_is_let_in_only_when_that_is_allowed(admin: Admin, manifest: Manifest) -> None:
    with pytest.raises(UnknownModelError) as caught:
        admin.catalog.admit_models([offer(manifest)])
    assert "EDGEWISE_ALLOW_UNREGISTERED_MODELS" in caught.value.remedy
    lenient = ModelCatalog(admin.database, admin.audit, allow_unregistered=True)
    lenient.admit_models([offer(manifest)])


async def test_a_manifest_registered_over_http_lets_its_nodes_in(admin: Admin, manifest: Manifest) -> None:
    for _ in range(2):
        made = await admin.client.post(URL, content=manifest.canonical())
        assert made.status_code == 201
        assert made.json()["id"] == manifest.id
    admin.catalog.admit_models([offer(manifest)])
    listed = (await admin.client.get(URL)).json()["items"]
    assert [(item["name"], item["tokenizer_digest"]) for item in listed] == [("tiny-edge", manifest.tokenizer_digest)]
    assert (await admin.client.get(URL, params={"name": "other"})).json() == {"items": []}


WRONG: list[dict[str, object]] = [
    {"weights_digest": "short"},
    {"tokenizer_digest": "Z" * 64},
    {"name": "../x"},
    {"name": "nul\0"},
    {"tier": ""},
    {"format": "x" * 40},
    {"context_tokens": 0},
    {"context_tokens": 2**40},
    {"files": {"../x": {"sha256": "0" * 64, "bytes": 1}}},
    {"files": {"x": {"sha256": "0", "bytes": 1}}},
]


async def test_a_manifest_that_cannot_be_right_is_refused(admin: Admin, manifest: Manifest) -> None:
    for change in WRONG:
        answer = await admin.client.post(URL, content=json.dumps(json.loads(manifest.canonical()) | change))
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "manifest_refused"), change
    assert admin.catalog.versions() == []


@FUZZ
@given(body=st.binary(max_size=100) | st.text(max_size=50).map(lambda t: json.dumps({"name": t}).encode()))
async def test_no_body_breaks_it(admin: Admin, body: bytes) -> None:
    assert (await admin.client.post(URL, content=body)).status_code == 422


async def test_a_body_without_end_is_cut_off(admin: Admin) -> None:
    answer = await admin.client.post(URL, content=b" " * (2 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
