"""Planners: pure arithmetic on sizes, budgets and measures, by flags or from a config.json. No torch, no weights.

The base install is enough to import them, so that `edgewise plan` works everywhere. Tables are drawn in the CLI.
"""
