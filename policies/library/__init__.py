"""Policies that ship with Edgewise. Here: reading their text from the installed package."""

from __future__ import annotations

from importlib import resources


def seed_text() -> str:
    """The seed policy: the order of rules that a new installation starts with, as YAML."""
    return resources.files(__name__).joinpath("seed.yaml").read_text(encoding="utf-8")
