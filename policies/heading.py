"""What every document of Edgewise begins with: version of the format, kind, name, labels. Specs are read elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from policies.document import API_VERSION
from policies.shape import Shape
from policies.source import Located

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Names of documents, rules, invariants and labels."""

_KEYS: Final = ("apiVersion", "kind", "metadata", "spec")


@dataclass(frozen=True, slots=True)
class Heading:
    """name: empty when faulty. spec: None when missing."""

    name: str
    labels: Mapping[str, str]
    spec: Located | None


def read_heading(shape: Shape, root: Located, kind: str) -> Heading:
    """The heading of a document of this kind; what is wrong with it is told to `shape`."""
    top = shape.fields(root, _KEYS, _KEYS)
    shape.word(top.get("apiVersion"), (API_VERSION,), "version of this format")
    shape.word(top.get("kind"), (kind,), "kind of document")
    metadata = shape.fields(top["metadata"], ("name", "labels"), ("name",)) if "metadata" in top else {}
    name = shape.name(metadata.get("name"), NAME, "name")
    labels = shape.entries(metadata.get("labels"), 32, "labels")
    return Heading(name, {shape.name(key, NAME, "label"): shape.text(value) for key, value in labels}, top.get("spec"))
