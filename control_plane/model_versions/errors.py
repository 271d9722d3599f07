"""Faults of registering and activating model versions over HTTP."""

from __future__ import annotations

from edgewise.wire.errors import BadRequestError, ConflictError, ManifestError, NotFoundError


class ManifestRefusedError(BadRequestError):
    """A manifest that a client sent does not hold what a manifest must."""

    number, code, http_status = 1710, "manifest_refused", 422

    @classmethod
    def of(cls, error: ManifestError) -> ManifestRefusedError:
        """The client's form of a fault that the parser found."""
        return cls(error.message, where=error.where, remedy="send the manifest.json of a model directory as it stands")


class VersionUnknownError(NotFoundError):
    """No such version is registered."""

    def __init__(self, name: str, version_id: str) -> None:
        super().__init__(
            f"Version {version_id[:64]} is not registered" + (f" under the name {name[:64]}" if name else ""),
            expected="the id of a registered version: the sha256 of its canonical manifest",
            remedy="list them with `edgewise models list`, or send the manifest: `edgewise models register DIRECTORY`",
        )


class NothingActiveError(ConflictError):
    """There is nothing to deactivate or to roll back to."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(
            f"This cannot be taken back: {why}",
            where=place,
            remedy="see what is wanted: `edgewise models list` or /admin/v1/models/active",
        )
