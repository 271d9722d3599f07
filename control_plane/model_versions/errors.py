"""Faults of registering a manifest over HTTP."""

from __future__ import annotations

from edgewise.wire.errors import BadRequestError, ManifestError


class ManifestRefusedError(BadRequestError):
    """A manifest that a client sent does not hold what a manifest must."""

    number, code, http_status = 1710, "manifest_refused", 422

    @classmethod
    def of(cls, error: ManifestError) -> ManifestRefusedError:
        """The client's form of a fault that the parser found."""
        return cls(error.message, where=error.where, remedy="send the manifest.json of a model directory as it stands")
