"""Signed policy bundles of a running control plane: the signing key, what was issued, and what nodes are offered.

What a bundle is, and when a device believes it, is `policies.bundle`; which node is offered which is the registry's.
"""
