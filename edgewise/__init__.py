"""Edgewise: every word from the best place that can say it. Shared rooms; no process lives here but cli/ and local/."""

__version__ = "0.1.0"
