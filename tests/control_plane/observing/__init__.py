"""Tests of a gateway's own view of itself."""
