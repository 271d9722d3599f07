"""The bodies of our kinds, one file each: thin adapters from payloads and progress to the forge's own functions."""
