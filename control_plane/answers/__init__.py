"""Answering requests: what the shared answer service needs to know here (facts, tiers, families, records)."""
