"""Fixtures of the forge's tests; they live in tests/factories."""

from tests.factories.float_graph import float_model

__all__ = ["float_model"]
