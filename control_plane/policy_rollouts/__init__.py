"""Rollouts of policies in a running control plane: their rows, who decides for a key, what is measured, the admin API.

The plan, the state machine and the gates are pure and live in `policies.rollout`.
"""
