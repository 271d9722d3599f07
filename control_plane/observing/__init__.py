"""Seeing a control plane: its gauges, where answers spend their time, and the switch of the diagnostic lines."""
