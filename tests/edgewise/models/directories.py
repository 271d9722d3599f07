"""Small model directories for the store, which looks at manifests and bytes only, and what must hold of a store."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgewise.models import ModelStore
from edgewise.models.inventory import contents
from edgewise.models.layout import Layout
from edgewise.wire.manifest import Manifest, build_manifest, write_manifest

FILES = {"model.onnx": b"graph", "tokenizer.json": b"{}", "chat_template.jinja": b"t"}


def write_directory(directory: Path, tensors: tuple[bytes, ...] = (), **changed: bytes) -> Manifest:
    """A model directory of these tensors; `changed`: other bytes of a file, by its name up to the dot."""
    (directory / "tensors").mkdir(parents=True)
    for name, raw in FILES.items():
        (directory / name).write_bytes(changed.get(name.partition(".")[0], raw))
    for raw in tensors:
        (directory / "tensors" / hashlib.sha256(raw).hexdigest()).write_bytes(raw)
    manifest = build_manifest(
        directory, name="small", tier="edge", format="onnx", weights="model.onnx", context_tokens=8, eos_ids=(1,)
    )
    write_manifest(directory, manifest)
    return manifest


def faults_of(folder: Path, *, settled: bool) -> list[str]:
    """What is wrong with a store: damage always, leftovers too where a change has just succeeded (`settled`)."""
    store, layout = ModelStore(folder), Layout(folder)
    faults = [f"{fault.version[:6]}/{fault.file} {fault.what}" for fault in store.verify()]
    objects = {path.name for path in layout.objects.glob("*")}
    for path in layout.objects.glob("*"):
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            faults.append(f"object {path.name[:6]} has another content")
    readable = [each for each in layout.installed() if not any(fault.version == each for fault in store.verify())]
    needed = {digest for each in readable for digest in contents(layout.manifest(each))}
    faults += [f"object {digest[:6]} is not there" for digest in needed - objects]
    if settled:
        faults += [f"staging {path.name}" for path in layout.staging.glob("*")]
        faults += [f"object {digest[:6]} lies there for nobody" for digest in objects - needed]
        known = {"objects", "versions", "staging", "current", "uses.json", "lock"}
        faults += [f"{path.name} is a stranger" for path in folder.iterdir() if path.name not in known]
    return faults
