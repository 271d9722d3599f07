"""A user's own model brought in: checked, quantized and exported for the edge, laid out for the cloud, judged."""

from typing import Final

STAGES: Final = {"check": 1.0, "graph": 10.0, "edge": 1.0, "cloud": 1.0, "parent": 4.0, "judge": 4.0, "describe": 1.0}
"""The stages of an import in order, with their shares of the time; here so that nothing heavy is imported for them."""
