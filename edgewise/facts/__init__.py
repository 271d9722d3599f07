"""What can be known of a request in milliseconds, without a model or a network: pure functions, two languages."""

from edgewise.facts.request import RequestFacts, UnknownSensitivityError, declare, estimate

__all__ = ["RequestFacts", "UnknownSensitivityError", "declare", "estimate"]
