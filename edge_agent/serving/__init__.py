"""What a device serves: one tier whose model is loaded, unloaded, opened anew and exchanged while it runs.

`models.py` has the changes, `served.py` the tier; limits come from edge_agent/ladder. No sensor is read here.
"""

from edge_agent.serving.models import Models
from edge_agent.serving.opened import Manner, Opened, OpenModel
from edge_agent.serving.served import GatewayDoor, ServedModel

__all__ = ["GatewayDoor", "Manner", "Models", "OpenModel", "Opened", "ServedModel"]
