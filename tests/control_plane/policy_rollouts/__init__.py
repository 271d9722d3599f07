"""Rollouts of policies in a control plane."""
