"""Nodes that are connected to this gateway: the gateway's end of the session, the registry, and nodes as tiers."""
