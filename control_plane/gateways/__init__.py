"""Several gateways on one token log: who is there, messages between them, relay to another's node, shared changes."""
