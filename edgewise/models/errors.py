"""What the model store refuses; what is wrong with a model directory itself is told by the errors of the wire."""

from __future__ import annotations

from edgewise.wire.errors import BadRequestError, ConfigError, ConflictError, NotFoundError


class StoreBusyError(ConflictError):
    """Another process is changing the store."""

    number, code = 1620, "model_store_busy"


class StoreFullError(ConfigError):
    """No room on the disk; nothing was changed."""

    number, code = 1621, "model_store_full"


class NoSuchVersionError(NotFoundError):
    """A version that is not installed, or an abbreviation of several."""

    number, code = 1622, "model_version_not_installed"


class VersionInUseError(ConflictError):
    """The version in use is not removed."""

    number, code = 1623, "model_version_in_use"


class StoreDamagedError(ConfigError):
    """Files of an installed version are missing or changed."""

    number, code = 1624, "model_version_damaged"


class NotForDevicesError(BadRequestError):
    """A model directory that no agent can run."""

    number, code = 1625, "model_not_for_devices"
