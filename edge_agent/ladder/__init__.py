"""The degradation ladder: what the device may do under want of memory, heat, an empty battery, or other work.

`Ladder` is pure; `LadderWatch` asks the sensors, logs every switch, and hands the limits to whoever obeys them.
"""

from edge_agent.ladder.climb import Change
from edge_agent.ladder.facts import LadderFacts
from edge_agent.ladder.ladder import Ladder, Standing
from edge_agent.ladder.limits import Accept, Limits, Place
from edge_agent.ladder.tables import LadderSettings
from edge_agent.ladder.watch import LadderWatch, Needs

__all__ = [
    "Accept",
    "Change",
    "Ladder",
    "LadderFacts",
    "LadderSettings",
    "LadderWatch",
    "Limits",
    "Needs",
    "Place",
    "Standing",
]
