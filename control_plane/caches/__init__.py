"""Caches that the control plane keeps warm on nodes."""
