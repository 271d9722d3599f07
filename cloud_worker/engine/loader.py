"""From a model directory to a TorchEngine: every file checked against the manifest first, every fault typed."""

from __future__ import annotations

from pathlib import Path

from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.models.qwen2 import ModelFileError, Qwen2
from cloud_worker.engine.numerics import EngineOptions
from edgewise.wire.errors import ConfigError, ManifestError
from edgewise.wire.manifest import Manifest, load_manifest

FORMAT = "safetensors"
"""What a manifest for this engine says in `format`."""


def load_engine(directory: Path, options: EngineOptions | None = None) -> TorchEngine:
    """Load a model directory (manifest.json, config.json, model.safetensors, tokenizer and template).

    Raises ModelMissingError, ModelDigestError, ManifestError, ConfigError (a device that is not there).
    """
    options = options or EngineOptions()
    manifest = load_manifest(directory)
    if manifest.format != FORMAT:
        raise ManifestError(
            f"The model {manifest.name} is in format {manifest.format}", where=str(directory), expected=FORMAT
        )
    return TorchEngine(_load_model(directory, options), _within_model(manifest, directory), options)


def _load_model(directory: Path, options: EngineOptions) -> Qwen2:
    try:
        return Qwen2.load(directory, options.dtype, options.device)
    except ModelFileError as error:
        raise ManifestError(str(error), where=str(directory), remedy="install the model version again") from error
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"The model cannot be put on {options.device}: {error}", where="device", expected="cpu, cuda or cuda:<n>"
        ) from error


def _within_model(manifest: Manifest, directory: Path) -> Manifest:
    if manifest.context_tokens < 2:
        raise ManifestError(
            "The manifest leaves no room for an answer", where=str(directory), expected="context_tokens ≥ 2"
        )
    return manifest
