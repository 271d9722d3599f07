"""Tests of seeing: nothing here needs a server but the exporter's own test."""
