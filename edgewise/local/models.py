"""Where the model directories are: given by name, in EDGEWISE_MODELS_DIR, or in this checkout's reference_models/."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgewise.wire.errors import ModelMissingError
from edgewise.wire.manifest import MANIFEST_FILE, load_manifest

TierName = Literal["edge", "cloud"]
MODELS_VARIABLE = "EDGEWISE_MODELS_DIR"
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class ModelDirectory:
    """A model directory, the name in its manifest, and the digests of tokenizer and template that a family shares."""

    name: str
    path: Path
    family: tuple[str, str]


def find_model(
    tier: TierName,
    given: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    checkout: Path = CHECKOUT,
) -> ModelDirectory:
    """The model for a tier: `given`, or the tier's folder in the models directory. Its files' sizes and hashes are
    checked by the process that loads them. Raises ModelMissingError, ManifestError."""
    home = Path(environ[MODELS_VARIABLE]) if environ.get(MODELS_VARIABLE) else checkout / "reference_models"
    path = (given or home / tier).expanduser().absolute()
    if not (path / MANIFEST_FILE).is_file():
        raise ModelMissingError(
            f"There is no {tier} model in {path}",
            where=str(path / MANIFEST_FILE),
            expected="a model directory with manifest.json",
            remedy=f"give one with --{tier}-model DIR or {MODELS_VARIABLE}, or run `make reference-models`",
        )
    manifest = load_manifest(path, verify=False)
    return ModelDirectory(manifest.name, path, (manifest.tokenizer_digest, manifest.template_digest))
