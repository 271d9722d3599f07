"""The model versions on a device: kept by content, installed whole or not at all, one of them in use.

The store changes nothing but its own folder. It loads no model and asks no network; the agent loads what `current`
leads to (docs/adr/0037).
"""

from edgewise.models.disk import Disk
from edgewise.models.errors import (
    NoSuchVersionError,
    NotForDevicesError,
    StoreBusyError,
    StoreDamagedError,
    StoreFullError,
    VersionInUseError,
)
from edgewise.models.inventory import Fault, StoredVersion
from edgewise.models.store import Installed, ModelStore

__all__ = [
    "Disk",
    "Fault",
    "Installed",
    "ModelStore",
    "NoSuchVersionError",
    "NotForDevicesError",
    "StoreBusyError",
    "StoreDamagedError",
    "StoreFullError",
    "StoredVersion",
    "VersionInUseError",
]
