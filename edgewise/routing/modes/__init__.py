"""The modes: who speaks first. One file each; what happens after the first token is the runner's, for all of them."""

from __future__ import annotations

from edgewise.routing.modes.base import Opening, OpenMode
from edgewise.routing.modes.ordered import open_ordered
from edgewise.routing.modes.race import open_race
from edgewise.routing.tier import TierKind

MODES: dict[str, tuple[OpenMode, tuple[TierKind, ...]]] = {
    "edge": (open_ordered, ("edge",)),
    "cloud": (open_ordered, ("cloud",)),
    "prefer-edge": (open_ordered, ("edge",)),
    "prefer-cloud": (open_ordered, ("cloud",)),
    "race": (open_race, ("edge", "cloud")),
}
"""Every mode that runs: how it opens, and which kinds of tier may speak in it, best first.

The second choice of a prefer- mode is not here: it is the decision's fallback, which an invariant may have taken away.
"""

__all__ = ["MODES", "OpenMode", "Opening"]
