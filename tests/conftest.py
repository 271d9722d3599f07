"""Fixtures that every test may use; they live in tests/factories."""

from tests.factories.valkey import mortal_valkey, valkey_server

__all__ = ["mortal_valkey", "valkey_server"]
