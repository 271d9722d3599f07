"""The device's tier: its model comes and goes, and the ladder's limits are obeyed."""
